// SPDX-License-Identifier: Apache-2.0
// microvmi completion: scripts for shells, which ask the program itself at each Tab.
#include "command.hpp"

namespace microvmi::tool {
namespace {

constexpr const char* kBash =
    R"(# Completion of microvmi in bash:  source <(microvmi completion bash)
_microvmi() {
    # COMP_WORDS is split at = and : too; what no white space parts is one word for microvmi.
    local rest=${COMP_LINE:0:COMP_POINT} word i
    local -a asked=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i == 0)) || [[ $rest == [[:space:]]* ]]; then
            rest=${rest#"${rest%%[![:space:]]*}"}
            asked+=('')
        fi
        ((i == COMP_CWORD)) && word=$rest
        asked[${#asked[@]} - 1]+=$word
        rest=${rest#"$word"}
    done
    local current=${asked[${#asked[@]} - 1]}
    # bash replaces only what follows the last separator.
    local kept=${current%"${current##*[=:]}"} line files=
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == :files ]]; then files=1; continue; fi
        line=${line%%$'\t'*}
        COMPREPLY+=("${line#"$kept"}")
    done < <("$1" __complete "${asked[@]:1}" 2>/dev/null)
    if [[ $files ]]; then
        compopt -o filenames 2>/dev/null
        while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "${current#"$kept"}")
    else
        for i in "${!COMPREPLY[@]}"; do
            [[ ${COMPREPLY[i]} == *= ]] && compopt -o nospace 2>/dev/null && continue
            printf -v 'COMPREPLY[i]' %q "${COMPREPLY[i]}"
        done
    fi
}
complete -F _microvmi microvmi
)";

constexpr const char* kZsh = R"(#compdef microvmi
# Completion of microvmi in zsh:  source <(microvmi completion zsh), or this file as _microvmi in $fpath
_microvmi() {
    local line value files=0
    local -a values shown open open_shown
    while IFS= read -r line; do
        if [[ $line == :files ]]; then files=1; continue; fi
        value=${line%%$'\t'*}
        if [[ $value == *= ]]; then
            open+=("$value"); open_shown+=("$value -- ${line#*$'\t'}")
        else
            values+=("$value"); shown+=("$value -- ${line#*$'\t'}")
        fi
    done < <("${(Q)words[1]}" __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)
    (( $#values )) && compadd -l -d shown -a values
    (( $#open )) && compadd -S '' -l -d open_shown -a open
    if (( files )); then
        compset -P '--*='
        _files
    fi
}
if [[ $funcstack[1] == _microvmi ]]; then _microvmi "$@"; else compdef _microvmi microvmi; fi
)";

constexpr const char* kFish =
    R"(# Completion of microvmi in fish:  microvmi completion fish | source
function __microvmi_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = :files
            set -l option (string match -r -- '^--[^=]*=' "$current")
            set -l path (string replace -r -- '^--[^=]*=' '' "$current")
            for file in (__fish_complete_path "$path")
                echo "$option$file"
            end
        else
            echo $line
        end
    end
end
complete -c microvmi -f -a '(__microvmi_complete)'
)";

Run declare_completion(CLI::App& app) {
  auto shell = std::make_shared<std::optional<std::string>>();
  add_text(app, "SHELL", *shell, "bash, zsh or fish");
  return [shell](Session& session) -> Outcome {
    const char* script = *shell == "bash" ? kBash : *shell == "zsh" ? kZsh : kFish;
    if (!*shell)
      session.wrong("SHELL is required: bash, zsh or fish");
    else if (*shell != "bash" && *shell != "zsh" && *shell != "fish")
      session.wrong("SHELL expects bash, zsh or fish, not '" + **shell + "'");
    if (auto right = session.check_words(); !right) return right;
    return session.out().write(script);
  };
}

}  // namespace

const Command kCompletion{.name = "completion",
                          .summary = "Print a script that completes commands in a shell",
                          .takes_target = false,
                          .declare = declare_completion};

}  // namespace microvmi::tool
