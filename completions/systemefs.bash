# bash completion for systemefs(1)

_systemefs_options='help version foreground debug single_thread
    log_level= config= account= auth= key_file= key_command= connection= api_url= ctrl_url= cacert=
    insecure_http ttl= timeout= jobs= reserve= cache_size= delete_limit= access_type= ro rw dry_run
    sandbox sandbox_args= uid= gid= umask= nonempty allow_other allow_root auto_unmount default_permissions
    fsname= subtype= max_read= sync async dirsync atime noatime dev nodev suid nosuid exec noexec
    context= fscontext= defcontext= rootcontext= defaults auto noauto user nouser users nousers
    owner group nofail _netdev comment= x-* relatime norelatime strictatime nostrictatime diratime
    nodiratime lazytime nolazytime'

# What may stand behind NAME=
_systemefs_values() {
    local file=${XDG_CONFIG_HOME:-$HOME/.config}/systemefs/config
    case $1 in
    auth) compgen -W 'maton systeme' -- "$2" ;;
    log_level) compgen -W 'error warn info debug' -- "$2" ;;
    account) compgen -W "$(sed -n 's/^\[account \(.*\)\]$/\1/p' "$file" 2>/dev/null)" -- "$2" ;;
    access_type)
        compgen -W 'full_access partial_access dripping_content partial_dripping_access' -- "$2"
        ;;
    config | key_file | cacert) compgen -f -- "$2" ;;
    uid) compgen -u -- "$2" ;;
    gid) compgen -g -- "$2" ;;
    esac
}

_systemefs() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} name=
    # '=' is a word of its own here: "auth = ma" or "auth ="
    if [[ $cur == = ]]; then
        name=$prev cur=
    elif [[ $prev == = ]]; then
        name=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if [[ -n $name ]]; then
        name=${name#--} name=${name##*,} name=${name//-/_}
        mapfile -t COMPREPLY < <(_systemefs_values "$name" "$cur")
    elif [[ $prev == -o ]]; then
        local before=
        [[ $cur == *,* ]] && before=${cur%,*},
        mapfile -t COMPREPLY < <(compgen -P "$before" -W "$_systemefs_options" -- "${cur##*,}")
        compopt -o nospace
    elif [[ $cur == --* ]]; then
        mapfile -t COMPREPLY < <(compgen -P -- -W "$_systemefs_options" -- "${cur#--}")
        compopt -o nospace
    elif [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '-h -V -f -d -s -o --' -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        compopt -o filenames
    fi
}
complete -F _systemefs systemefs
