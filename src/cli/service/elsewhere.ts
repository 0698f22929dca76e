/** Returns a property list for launchd, and how to use it. It was never tried on macOS. */
export function launchdText(executable: string, args: readonly string[]): string {
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
export function windowsText(executable: string, args: readonly string[]): string {
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
