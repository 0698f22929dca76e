/** The folder of the service, below /var/lib, which systemd creates. */
const STATE_FOLDER = 'cay'

export interface UnitOptions {
  /** The absolute path of cay. */
  executable: string
  /** Further arguments of `cay serve`. */
  args?: readonly string[]
  /** Whether it listens on a port below 1024, which needs a capability. */
  hasLowPort?: boolean
  /** Lines for `[X-Cay]`, a section that systemd ignores. */
  notes?: readonly string[]
}

/**
 * Returns the systemd unit. `MemoryDenyWriteExecute` is missing, because the runtime compiles code while it runs. So is
 * socket activation, because the runtime cannot serve on a given descriptor.
 */
export function systemdUnit({ executable, args = [], hasLowPort = false, notes = [] }: UnitOptions): string {
  const capabilities = hasLowPort ? 'CAP_NET_BIND_SERVICE' : ''
  return `[Unit]
Description=cay, a private OCI registry and image cache
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=${[executable, 'serve', ...args].map(quoteArgument).join(' ')}
Environment=CAY_DATA=%S/${STATE_FOLDER}
EnvironmentFile=-/etc/default/cay
DynamicUser=yes
User=cay
StateDirectory=${STATE_FOLDER}
StateDirectoryMode=0700
WorkingDirectory=%S/${STATE_FOLDER}
UMask=0077
LimitNOFILE=524288
# The first start of a new version can convert a large database.
TimeoutStartSec=infinity
TimeoutStopSec=90
WatchdogSec=60
WatchdogSignal=SIGKILL
Restart=on-failure
RestartSec=3
# The configuration is invalid: starting again does not help.
RestartPreventExitStatus=2

AmbientCapabilities=${capabilities}
CapabilityBoundingSet=${capabilities}
DevicePolicy=closed
KeyringMode=private
LockPersonality=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
${hasLowPort ? '' : 'PrivateUsers=yes\n'}ProcSubset=pid
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged

[Install]
WantedBy=multi-user.target
${notes.length > 0 ? `\n[X-Cay]\n${notes.join('\n')}\n` : ''}`
}

/** Quotes an argument of ExecStart: systemd expands `%` and `$`, and understands the escapes of C. */
function quoteArgument(text: string): string {
  const escaped = text.replaceAll('%', '%%').replaceAll('$', '$$$$')
  if (/^[\w@:./,=*+[\]%$-]+$/.test(escaped)) return escaped
  return `"${escaped.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`
}
