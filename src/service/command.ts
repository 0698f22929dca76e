import type { Command } from 'commander'
import { CommandError, EXIT } from '../cli/failure.ts'
import { argumentsOf, load, withSettings } from '../cli/settings.ts'

/** Where the service keeps its data: systemd creates it. */
const DATA = '/var/lib/cay'

/** Adds `cay service`, which runs cay as a service of this host. */
export function addServiceCommands(program: Command, exit: (code: number) => void): void {
  const service = program.command('service').description('Run cay as a service of this host (systemd)')
  withSettings(
    service
      .command('install')
      .description(
        'Install the service with these settings, and start it; run it again to change them, or to upgrade',
      ),
  ).action(async (options) => {
    const args = serviceArguments(options)
    const { config } = await load({ ...options, data: DATA })
    const { installUnit } = await import('./systemd.ts')
    await installUnit(args, config.listen)
  })
  service
    .command('status')
    .description('Print the state of the service')
    .action(async () => {
      const { printStatus } = await import('./systemd.ts')
      exit(await printStatus(DATA))
    })
  service
    .command('uninstall')
    .description('Stop and remove the service; the data is kept')
    .action(async () => {
      const { uninstallUnit } = await import('./systemd.ts')
      await uninstallUnit(DATA)
    })
  withSettings(
    service
      .command('print [manager]')
      .description('Print the definition of the service for systemd, launchd or windows [systemd]'),
  ).action(async (manager = 'systemd', options) => {
    const { definitionOf } = await import('./unit.ts')
    const { config } = await load(options)
    process.stdout.write(definitionOf(manager, argumentsOf(options), config.listen))
  })
}

function serviceArguments(options: Record<string, string>): string[] {
  if (options.data === undefined) return argumentsOf(options)
  throw new CommandError(
    `the service keeps its data in ${DATA}: to use another disk, mount it at /var/lib/private/cay`,
    EXIT.usage,
  )
}
