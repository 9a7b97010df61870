# SPDX-License-Identifier: BSD-3-Clause
# bash completion for vks
_vks_luks() {
    local current=$1 previous=$2 command=${COMP_WORDS[2]} words=''
    if ((COMP_CWORD == 2)); then
        words='enroll list check open renew remove secret --help'
    elif [[ $current == -* ]]; then
        words=$(vks luks "$command" --help 2>/dev/null | grep -o '^  --[a-z-]*')
    elif [[ $command == enroll && $COMP_CWORD == 4 && $previous != --* ]]; then
        words=$(vks list 2>/dev/null | awk 'NR > 1 { print $1 }')
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

_vks() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' words='' word before=''
    local device=() value=''
    # Bash takes '=' and the colon of vhost-user:SOCKET for words of their own.
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        if [[ $word == --device ]]; then
            before=$word
        elif [[ $before && ($word == = || $word == : || $before == --device || $before == :) ]]; then
            [[ $word == = ]] || value+=$word before=$word
        elif [[ $word != -* ]]; then
            command=$word
            break
        fi
    done
    [[ -z $value ]] || device=(--device "$value")
    if [[ $command == luks ]]; then
        _vks_luks "$current" "$previous"
        return
    fi
    case $previous in
    --device)
        mapfile -t COMPREPLY < <({ compgen -G '/dev/keystore*'; echo vhost-user:; } | grep -F -- "$current")
        [[ ${COMPREPLY[*]} != vhost-user: ]] || compopt -o nospace 2>/dev/null
        return
        ;;
    vhost-user | :) mapfile -t COMPREPLY < <(compgen -f -- "${current#:}"); return ;;
    --mechanism)
        words=$(vks info --json "${device[@]}" 2>/dev/null | sed -n 's/.*"mechanisms": \[\([^]]*\)\].*/\1/p' | tr -d '",')
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
        return ;;
    --type)
        words='ec-p256 ec-p384 ed25519 aes-128 aes-256 chacha20-poly1305 hmac-sha256 hmac-sha384 hmac-sha512'
        words+=' ml-dsa-44 ml-dsa-65 ml-dsa-87'
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
        return
        ;;
    --peer) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    esac
    if [[ -z $command ]]; then
        words='info list public sign verify encrypt decrypt mac mac-verify derive data-key paes decapsulate generate'
        words+=' rotate destroy random bench luks doctor --help'
    elif [[ $current == -* ]]; then
        words=$(vks "$command" --help 2>/dev/null | grep -o '^  --[a-z-]*')
    elif [[ $command == generate ]]; then
        return
    elif [[ $previous == "$command" && ($command == rotate || $command == destroy) ]]; then
        words=$(vks list "${device[@]}" 2>/dev/null | awk 'NR > 1 && $6 == "yes" && !seen[$1]++ { print $1 }')
    elif [[ $previous == "$command" && $command != random ]]; then
        words=$(vks list "${device[@]}" 2>/dev/null | awk 'NR > 1 { print $1 }')
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _vks vks
