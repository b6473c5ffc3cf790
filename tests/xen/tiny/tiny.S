/* SPDX-License-Identifier: Apache-2.0 */
/* The tiny guest of Xen: a PVH kernel, or the firmware of an HVM guest. It says what is true of it on
 * Xen's debug port, as lines "tiny: NAME VALUE", and then does for ever what can be intercepted. */
        .set kStampStart, 0x200000
        .set kStampEnd, 0xc00000
        .set kStampKey, 0x564d492d54494e59  /* each word is its own address with this xored into it */
        .set kSpin, 100000
        .set kDebugPort, 0xe9               /* of Xen, for HVM and PVH guests */
        .set kPhys32Entry, 18               /* XEN_ELFNOTE_PHYS32_ENTRY, xen/include/public/elfnote.h */
        .set kHvmOp, 34                     /* __HYPERVISOR_hvm_op, public/xen.h */
        .set kGuestRequest, 24              /* HVMOP_guest_request_vm_event, public/hvm/hvm_op.h */
        .set kVcpuOp, 24                    /* __HYPERVISOR_vcpu_op, public/xen.h */
        .set kInitialise, 0                 /* VCPUOP_initialise, public/vcpu.h */
        .set kUp, 1                         /* VCPUOP_up */
        .set kStartMagic, 0x336ec578        /* public/arch-x86/hvm/start_info.h, the command line at 24 */
        .set kLeaf, 0x40004d56              /* behind Xen's own leaves */

        .section .note.Xen, "a", @note
        .long 4, 4, kPhys32Entry
        .asciz "Xen"
        .long start

        .text
        .code32
        .globl start
start:  cli
        movl $stack_top, %esp
        cmpl $kStartMagic, (%ebx)
        jne 1f
        movl 24(%ebx), %esi
        testl %esi, %esi
        jz 1f
        movb (%esi), %al
        movb %al, wish
1:
        movl $pd, %edi                      /* one GiB, in pages of 2 MiB */
        movl $0x83, %eax
        movl $512, %ecx
1:      movl %eax, (%edi)
        addl $0x200000, %eax
        addl $8, %edi
        loop 1b
        movl %cr4, %eax
        orl $0x20, %eax                     /* PAE */
        movl %eax, %cr4
        movl $pml4a, %eax
        movl %eax, %cr3
        movl $0xc0000080, %ecx              /* EFER: NXE, LME, SCE */
        rdmsr
        orl $0x901, %eax
        wrmsr
        movl %cr0, %eax
        orl $0x80010021, %eax               /* PG, WP, NE, PE */
        movl %eax, %cr0
        lgdt gdtr
        ljmp $8, $long_mode

        .code64
        .macro WRMSR_CONST index, value
        movl $\index, %ecx
        movl $(\value & 0xffffffff), %eax
        movl $(\value >> 32), %edx
        wrmsr
        .endm
        .macro TELL name, value:vararg
        .data
2:      .asciz "\name"
        .text
        leaq 2b(%rip), %rsi
        movabs $\value, %rax
        call tell
        .endm
        .macro TELL_RAX name
        .data
2:      .asciz "\name"
        .text
        leaq 2b(%rip), %rsi
        call tell
        .endm

long_mode:
        movw $16, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        xorl %eax, %eax
        movw %ax, %fs
        movw %ax, %gs
        movl $tss, %eax                     /* the descriptor's base: 16, 8 and 8 bits */
        movw %ax, gdt_tss + 2
        shrl $16, %eax
        movb %al, gdt_tss + 4
        movb %ah, gdt_tss + 7
        movw $0x18, %ax
        ltr %ax
        call fill_idt
        lidt idtr
        WRMSR_CONST 0xc0000081, 0x0013000800000000  /* STAR */
        WRMSR_CONST 0xc0000082, 0x0000000012345678  /* LSTAR */
        WRMSR_CONST 0xc0000083, 0x0000000023456789  /* CSTAR */
        WRMSR_CONST 0xc0000084, 0x0000000000000300  /* FMASK */
        WRMSR_CONST 0xc0000100, 0x00007f0011110000  /* FS base */
        WRMSR_CONST 0xc0000101, 0x00007f0022220000  /* GS base */
        WRMSR_CONST 0xc0000102, 0x00007f0033330000  /* kernel GS base */
        WRMSR_CONST 0x174, 0x10                     /* SYSENTER_CS */
        WRMSR_CONST 0x175, 0x0000000000765000       /* SYSENTER_ESP */
        movq $kStampStart, %rdi
        movabs $kStampKey, %rdx
1:      movq %rdi, %rax
        xorq %rdx, %rax
        movq %rax, (%rdi)
        addq $8, %rdi
        cmpq $kStampEnd, %rdi
        jne 1b
        call tell_all
        movabs $0x0808080808080808, %r8
        movabs $0x0909090909090909, %r9
        movabs $0x1010101010101010, %r10
        movabs $0x1111111111111111, %r11
        movabs $0x1212121212121212, %r12
        movabs $0x1313131313131313, %r13
        movabs $0x1414141414141414, %r14
        movabs $0x1515151515151515, %r15
        movabs $0x0b0b0b0b0b0b0b0b, %rbp

/* Each counter counts what is behind it: an event comes before its count. No XSETBV, as
 * the machine is without XSAVE. */
again:  movl $pml4b, %eax
        movq %rax, %cr3
        incq cr3_writes
        movl $0x176, %ecx                   /* SYSENTER_EIP */
        movl ticks, %eax
        xorl %edx, %edx
        wrmsr
        incq msr_writes
        rdmsr                               /* what became of it */
        movl %eax, msr_seen
        movl %edx, msr_seen + 4
        movl $kLeaf, %eax
        movl $7, %ecx
        cpuid
        movl %eax, cpuid_seen
        movl %ebx, cpuid_seen + 4
        movl %ecx, cpuid_seen + 8
        movl %edx, cpuid_seen + 12
        incq cpuids
        movq %cr4, %rax
        xorq $4, %rax                       /* TSD, which does nothing here */
        movq %rax, %cr4
        incq cr4_writes
        movq %cr0, %rax
        xorq $2, %rax                       /* MP, as well */
        movq %rax, %cr0
        incq cr0_writes
        sgdt scratch
        incq table_reads
        movl $kHvmOp, %eax
        movl $kGuestRequest, %edi
        xorl %esi, %esi
        vmmcall
        incq requests
        pushfq
        orq $0x100, (%rsp)                  /* TF: #DB behind the next instruction */
        popfq
        nop
        int3
        call reached
        movl $pml4a, %eax
        movq %rax, %cr3
        incq cr3_writes
        incq ticks
        movl $kSpin, %ecx
spin:   pause
        decl %ecx
        jnz spin
        jmp again
        .globl reached
reached:                                    /* one byte, so that an INT3 in its place does no harm */
        nop
        ret

on_debug:
        incq debugs
        andq $~0x100, 16(%rsp)              /* rflags */
        iretq
on_breakpoint:
        incq breakpoints
        iretq
on_other:
        movabs $0xffff, %rax
        TELL_RAX unexpected_exception
        hlt
        jmp on_other

/* Where the command line begins with 2: the second vCPU, which does a part of the same. */
start_second:
        cmpb $'2', wish
        jne 1f
        movl $kVcpuOp, %eax
        movl $kInitialise, %edi
        movl $1, %esi
        movl $second_context, %edx
        vmmcall
        movl $kVcpuOp, %eax
        movl $kUp, %edi
        movl $1, %esi
        xorl %edx, %edx
        vmmcall
1:      ret
second: movabs $0x2222222222222222, %r8
2:      movl $pml4b, %eax
        movq %rax, %cr3
        incq second_cr3_writes
        movl $pml4a, %eax
        movq %rax, %cr3
        incq second_cr3_writes
        incq second_ticks
        movl $kSpin, %ecx
3:      pause
        decl %ecx
        jnz 3b
        jmp 2b

fill_idt:
        xorl %ecx, %ecx
1:      leaq on_other(%rip), %rax
        leaq on_debug(%rip), %rdx
        cmpl $1, %ecx
        cmove %rdx, %rax
        leaq on_breakpoint(%rip), %rdx
        cmpl $3, %ecx
        cmove %rdx, %rax
        movl %ecx, %edi
        shll $4, %edi
        addl $idt, %edi
        movw %ax, (%rdi)
        movw $8, 2(%rdi)
        movw $0x8e00, 4(%rdi)               /* present, interrupt gate */
        shrl $16, %eax
        movw %ax, 6(%rdi)
        incl %ecx
        cmpl $32, %ecx
        jne 1b
        ret

tell_all:
        TELL stamp_start, kStampStart
        TELL stamp_end, kStampEnd
        TELL stamp_key, kStampKey
        TELL counters, counters
        TELL pml4a, pml4a
        TELL pml4b, pml4b
        TELL mapped_va, 0x40000000          /* the PT below */
        TELL mapped_pa, kStampStart + 0x5000
        TELL unmapped_va, 0x40001000
        TELL reached, reached
        TELL spin, spin
        TELL spin_end, reached
        TELL text_start, start
        TELL r8, 0x0808080808080808
        TELL r9, 0x0909090909090909
        TELL r10, 0x1010101010101010
        TELL r11, 0x1111111111111111
        TELL r12, 0x1212121212121212
        TELL r13, 0x1313131313131313
        TELL r14, 0x1414141414141414
        TELL r15, 0x1515151515151515
        TELL rbp, 0x0b0b0b0b0b0b0b0b
        TELL cs, 8
        TELL ss, 16
        TELL ds, 16
        TELL es, 16
        TELL tr, 0x18
        TELL tr_base, tss
        TELL tr_limit, 0x67
        TELL tr_attributes, 0x8b            /* busy, as LTR leaves it */
        TELL cs_attributes, 0xa09b
        TELL ss_attributes, 0xc093
        TELL gdt_base, gdt
        TELL gdt_limit, gdt_end - gdt - 1
        TELL idt_base, idt
        TELL idt_limit, 511
        TELL star, 0x0013000800000000
        TELL lstar, 0x12345678
        TELL cstar, 0x23456789
        TELL fmask, 0x300
        TELL fs_base, 0x00007f0011110000
        TELL gs_base, 0x00007f0022220000
        TELL kernel_gs_base, 0x00007f0033330000
        TELL sysenter_cs, 0x10
        TELL sysenter_esp, 0x765000
        movl $0xc0000080, %ecx
        call read_msr
        TELL_RAX efer
        movl $0x1b, %ecx
        call read_msr
        TELL_RAX apic_base
        movq %cr4, %rax
        TELL_RAX cr4_without_tsd
        movq %cr0, %rax
        TELL_RAX cr0_without_mp
        call start_second
        TELL ready, 1
        ret

read_msr:
        rdmsr
        shlq $32, %rdx
        orq %rdx, %rax
        ret

/* tell: the line "tiny: NAME VALUE", NAME at rsi, VALUE in rax. */
tell:   movq %rax, %rbx
        movq %rsi, %rdi
        leaq prefix(%rip), %rsi
        call put
        movq %rdi, %rsi
        call put
        movw $kDebugPort, %dx
        movb $' ', %al
        outb %al, %dx
        movl $16, %ecx
1:      rolq $4, %rbx
        movl %ebx, %eax
        andl $15, %eax
        movb digits(%rax), %al
        outb %al, %dx
        loop 1b
        movb $'\n', %al
        outb %al, %dx
        ret
put:    movw $kDebugPort, %dx
1:      lodsb
        testb %al, %al
        jz 2f
        outb %al, %dx
        jmp 1b
2:      ret

        .data
digits: .ascii "0123456789abcdef"
prefix: .asciz "tiny: "
        .align 8
gdt:    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_tss: .quad 0x0000890000000067, 0
gdt_end:
gdtr:   .word gdt_end - gdt - 1
        .quad gdt
idtr:   .word 511
        .quad idt
scratch: .fill 16
wish:   .byte 0
        .align 8
second_context:                             /* public/hvm/hvm_vcpu.h: VCPU_HVM_MODE_64B */
        .long 1, 0
        .quad 0, 0, 0, 0                    /* rax, rcx, rdx, rbx */
        .quad second_stack_top, 0, 0, 0     /* rsp, rbp, rsi, rdi */
        .quad second, 2                     /* rip, rflags */
        .quad 0x80010031, pml4a, 0x20, 0xd01  /* cr0, cr3, cr4, efer: as the first one has them */
        .align 16
idt:    .fill 512
tss:    .fill 0x68
        .align 4096
/* In the order of Counters in domain.hpp. */
counters:
ticks:  .quad 0
cr3_writes: .quad 0
msr_writes: .quad 0
msr_seen: .quad 0
cpuids: .quad 0
cpuid_seen: .quad 0, 0
cr4_writes: .quad 0
cr0_writes: .quad 0
table_reads: .quad 0
requests: .quad 0
debugs: .quad 0
breakpoints: .quad 0
second_cr3_writes: .quad 0
second_ticks: .quad 0
        .align 4096
pml4a:  .quad pdpt + 3
        .fill 4088
pml4b:  .quad pdpt + 3
        .fill 4088
pdpt:   .quad pd + 3, pd1 + 3
        .fill 4080
pd:     .fill 4096
pd1:    .quad pt + 3
        .fill 4088
pt:     .quad kStampStart + 0x5000 + 3
        .fill 4088
        .fill 256
second_stack_top:
        .fill 4096
stack_top:
