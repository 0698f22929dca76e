import { hasLowPort } from '../../config/listen-address.ts'
import { CommandError, EXIT } from '../failure.ts'
import { launchdText, windowsText } from './elsewhere.ts'
import { systemdUnit } from './unit.ts'

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
