/* SPDX-License-Identifier: Apache-2.0 */
/* The tiny guest's way from multiboot's 32 bits to long mode, its faults, and the loop it ends in. */

#define MAGIC 0x1BADB002 /* Multiboot 0.6.96, 3.1.1: the magic of a kernel's header */
#define FLAGS 0x3        /* page-aligned modules, memory map wanted */

    .section .multiboot, "a"
    .align 4
    .long MAGIC
    .long FLAGS
    .long -(MAGIC + FLAGS)

/* With the tables at pml4; of the boot processor and of those that it starts. */
    .macro turn_paging_on
    movl %cr4, %eax
    orl $0xA0, %eax                     /* PAE, PGE */
    movl %eax, %cr4
    movl $pml4, %eax
    movl %eax, %cr3
    movl $0xC0000080, %ecx              /* EFER */
    rdmsr
    orl $0x901, %eax                    /* SCE, LME, NXE */
    wrmsr
    movl %cr0, %eax
    andl $0x9FFFFFFF, %eax              /* caches on */
    orl $0x80010021, %eax               /* PG, WP, NE, PE */
    movl %eax, %cr0
    .endm

/* ---- 32 bits: identity map of the first 4 GiB in 2 MiB pages, then long mode ---- */
    .section .text.boot, "ax"
    .code32
    .globl entry
entry:
    cli
    movl $boot_stack_top, %esp
    movl %eax, boot_magic
    movl %ebx, boot_info

    movl $pdpt_low + 0x3, pml4          /* present, writable */
    movl $pd_low + 0x003, pdpt_low
    movl $pd_low + 0x1003, pdpt_low + 8
    movl $pd_low + 0x2003, pdpt_low + 16
    movl $pd_low + 0x3003, pdpt_low + 24
    xorl %ecx, %ecx
1:  movl %ecx, %eax
    shll $21, %eax
    orl $0x83, %eax                     /* present, writable, 2 MiB */
    movl %eax, pd_low(, %ecx, 8)
    incl %ecx
    cmpl $2048, %ecx
    jne 1b

    turn_paging_on
    lgdt gdt_pointer
    ljmp $0x8, $entry64

/* ---- 64 bits ---- */
    .code64
entry64:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    movq $boot_stack_top, %rsp
    xorl %ebp, %ebp
    movl boot_magic(%rip), %edi
    movl boot_info(%rip), %esi
    call tiny_main
1:  pause
    jmp 1b

/* ---- faults: what tiny_fault() prints is the last that is heard of the guest ---- */
    .text
    .align 16
    .globl fault_stubs
fault_stubs:
    .irp vector, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
         16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    .align 16
    pushq $\vector
    jmp fault
    .endr

fault:
    popq %rdi                           /* vector */
    movq (%rsp), %rsi                   /* error code, or rip where there is none */
    movq 8(%rsp), %rdx
    movq %cr2, %rcx
    andq $-16, %rsp
    call tiny_fault
1:  pause
    jmp 1b

/* ---- the loop: every register but rax, rdx and rflags has a value that was printed ---- */
    .globl spin, spin_start, spin_end
spin:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, spin_saved(%rip)
    leaq spin_values(%rip), %rax
    movq 0(%rax), %rbx
    movq 8(%rax), %rcx
    movq 16(%rax), %rsi
    movq 24(%rax), %rdi
    movq 32(%rax), %rbp
    movq 40(%rax), %rsp
    movq 48(%rax), %r8
    movq 56(%rax), %r9
    movq 64(%rax), %r10
    movq 72(%rax), %r11
    movq 80(%rax), %r12
    movq 88(%rax), %r13
    movq 96(%rax), %r14
    movq 104(%rax), %r15
spin_start:
    incq counter(%rip)
    pause
    testl $0xFFF, counter(%rip)
    jnz spin_start
    movl $0x3FD, %edx                   /* line status of the 16550 at 0x3F8 */
    inb %dx, %al
    testb $1, %al
    jz spin_start
spin_end:
    movq spin_saved(%rip), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

/* ---- one instruction that is executed as often as its counter says ---- */
    .globl hot, hot_point
hot:                                    /* rdi: the counter, rsi: how many rounds */
hot_point:
    incq (%rdi)
    pause
    decq %rsi
    jnz hot_point
    ret

/* ---- another processor: from 16 bits at 0x8000, where this is copied, to long mode ---- */
    .globl ap_start, ap_end
    .code16
ap_start:
    cli
    movw %cs, %ax
    movw %ax, %ds
    lgdtl ap_pointer - ap_start
    movl %cr0, %eax
    orb $1, %al                         /* PE */
    movl %eax, %cr0
    ljmpl $0x8, $0x8000 + ap_32 - ap_start
    .code32
ap_32:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    turn_paging_on
    ljmp $0x18, $ap_64
    .align 8
ap_gdt:
    .quad 0
    .quad 0x00CF9B000000FFFF            /* 0x08: 32-bit code */
    .quad 0x00CF93000000FFFF            /* 0x10: data */
    .quad 0x00AF9B000000FFFF            /* 0x18: 64-bit code */
ap_pointer:
    .word 31
    .long 0x8000 + ap_gdt - ap_start
ap_end:
    .code64
ap_64:
    movl $0xFEE00020, %eax              /* the APIC's number is the vCPU's */
    movl (%rax), %edi
    shrl $24, %edi
    andl $7, %edi
    movl %edi, %eax
    shll $12, %eax
    leaq ap_stacks(%rip), %rsp
    addq %rax, %rsp
    xorl %ebp, %ebp
    call ap_main
1:  hlt
    jmp 1b

    .data
    .align 16
    .globl gdt
gdt:
    .quad 0
    .quad 0x00AF9B000000FFFF            /* 0x08: 64-bit code, accessed */
    .quad 0x00CF93000000FFFF            /* 0x10: data, accessed */
    .quad 0, 0                          /* 0x18: task state, filled in later */
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt

    .bss
    .align 4096
    .globl pml4, counter, text_page
pml4:       .skip 4096
pdpt_low:   .skip 4096
pd_low:     .skip 4 * 4096
counter:    .skip 4096
text_page:  .skip 4096
boot_stack: .skip 16384
boot_stack_top:
ap_stacks:  .skip 8 * 4096              /* number 0 has another, and the stacks grow down */
boot_magic: .skip 4
boot_info:  .skip 4
spin_saved: .skip 8

    .section .note.GNU-stack, "", @progbits
