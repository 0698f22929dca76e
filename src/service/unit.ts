import { CommandError, EXIT } from '../cli/failure.ts'
import { hasLowPort } from '../config/values.ts'

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

/**
 * Returns the definition of the service for a service manager.
 *
 * @throws CommandError if the manager is unknown
 */
export function definitionOf(manager: string, args: readonly string[], listen: readonly string[]): string {
  const executable = process.execPath
  if (manager === 'systemd') return systemdUnit({ executable, args, hasLowPort: listen.some(hasLowPort) })
  if (manager === 'launchd') return launchdText(executable, args)
  if (manager === 'windows') return windowsText(executable, args)
  throw new CommandError(
    `unknown service manager "${manager}": expected systemd, launchd or windows`,
    EXIT.usage,
  )
}

/** Returns a property list for launchd, and how to use it. It was never tried on macOS. */
function launchdText(executable: string, args: readonly string[]): string {
  const words = [executable, 'serve', ...args].map((word) => `    <string>${escapeXml(word)}</string>`)
  return `<?xml version="1.0" encoding="UTF-8"?>
<!-- Save it as /Library/LaunchDaemons/cay.plist, and run: sudo launchctl bootstrap system /Library/LaunchDaemons/cay.plist -->
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>cay</string>
  <key>ProgramArguments</key>
  <array>
${words.join('\n')}
  </array>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>SoftResourceLimits</key>
  <dict>
    <key>NumberOfFiles</key>
    <integer>65536</integer>
  </dict>
  <key>StandardOutPath</key>
  <string>/var/log/cay.log</string>
  <key>StandardErrorPath</key>
  <string>/var/log/cay.log</string>
</dict>
</plist>
`
}

/** Returns a task for Windows that starts cay with the system, and how to use it. It was never tried on Windows. */
function windowsText(executable: string, args: readonly string[]): string {
  const command = ['serve', ...args].map((word) =>
    /[\s"]/.test(word) ? `"${word.replaceAll('"', '""')}"` : word,
  )
  const quote = (text: string) => `'${text.replaceAll("'", "''")}'`
  return `# Run this in PowerShell as administrator. To undo it: Unregister-ScheduledTask cay
$action = New-ScheduledTaskAction -Execute ${quote(executable)} -Argument ${quote(command.join(' '))}
$trigger = New-ScheduledTaskTrigger -AtStartup
$settings = New-ScheduledTaskSettingsSet -RestartCount 10 -RestartInterval (New-TimeSpan -Minutes 1) -ExecutionTimeLimit 0
$account = New-ScheduledTaskPrincipal -UserId 'NT AUTHORITY\\LOCAL SERVICE' -LogonType ServiceAccount
Register-ScheduledTask cay -Action $action -Trigger $trigger -Settings $settings -Principal $account
`
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
