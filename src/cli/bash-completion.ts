/**
 * Returns the completion script for bash. It needs no package bash-completion, can be sourced again, and passes what was
 * typed as it is, without evaluating it. Without an answer, bash completes files.
 */
export function bashCompletion(): string {
  return `# bash completion for cay
__cay_complete() {
    local line=\${COMP_LINE:0:COMP_POINT} word start
    local -a words
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    start=\${words[\${#words[@]}-1]}
    COMPREPLY=()
    while IFS=$'\\t' read -r word _; do
        # The last line is a number for other shells.
        [[ $word != :* && $word == "$start"* ]] && COMPREPLY+=("$word")
    done < <("\${words[0]}" complete -- "\${words[@]:1}" 2>/dev/null)
    # bash completes only what follows the last colon or equals sign.
    if [[ $start == *[:=]* ]]; then
        local prefix=\${start%"\${start##*[:=]}"}
        COMPREPLY=("\${COMPREPLY[@]#"$prefix"}")
    fi
}

complete -o bashdefault -o default -F __cay_complete cay
`
}
