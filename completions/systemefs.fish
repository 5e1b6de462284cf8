# fish completion for systemefs(1)

complete -c systemefs -f -a '(__fish_complete_directories)'
complete -c systemefs -s h -l help -d 'print all options and end'
complete -c systemefs -s V -l version -d 'print the version and end'
complete -c systemefs -s f -l foreground -d 'stay in the foreground'
complete -c systemefs -s d -l debug -d 'the same, and log every FUSE request'
complete -c systemefs -s s -l single_thread -d "taken for FUSE's sake"

# With a value
for name in log_level config account auth key_file key_command connection api_url ctrl_url cacert \
        ttl timeout jobs reserve cache_size delete_limit access_type sandbox_args uid gid umask \
        fsname subtype max_read context fscontext defcontext rootcontext comment
    complete -c systemefs -s o -x -a "$name="
    complete -c systemefs -l $name -x
end
# Without
for name in insecure_http ro rw dry_run sandbox nonempty allow_other allow_root auto_unmount \
        default_permissions sync async dirsync atime noatime dev nodev suid nosuid exec noexec \
        defaults auto noauto user nouser users nousers owner group nofail _netdev 'x-*' relatime \
        norelatime strictatime nostrictatime diratime nodiratime lazytime nolazytime
    complete -c systemefs -s o -x -a "$name"
    complete -c systemefs -l $name
end
complete -c systemefs -l auth -x -a 'maton systeme'
complete -c systemefs -l log_level -x -a 'error warn info debug'
complete -c systemefs -l access_type -x \
    -a 'full_access partial_access dripping_content partial_dripping_access'
complete -c systemefs -l config -r -F
complete -c systemefs -l key_file -r -F
complete -c systemefs -l cacert -r -F
