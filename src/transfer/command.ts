import type { Command } from 'commander'
import type { LoadConfig } from '../cli/connection.ts'

/** Adds `cay import`, `cay export` and `cay migrate`, which copy images from and to files and other registries. */
export function addTransferCommands(
  program: Command,
  load: LoadConfig,
  withServer: (command: Command) => Command,
  done: (code: number) => void,
): void {
  withServer(
    program
      .command('import <path> [name]')
      .description(
        'Import images from an OCI layout, an archive of docker save, or the data folder of registry:2. NAME is the ' +
          'repository to import into [the names in the source]',
      ),
  ).action(async (path, name, options) => {
    const { importFiles } = await import('./transfer.ts')
    done(await importFiles(path, name, options, load))
  })
  withServer(
    program
      .command('export <path> <images...>')
      .description('Export images and their referrers as an OCI layout: a folder, or a file PATH.tar')
      .option('--since <path>', 'leave out the blobs of this earlier export, and of those before it'),
  ).action(async (path, images, options) => {
    const { exportFiles } = await import('./transfer.ts')
    done(await exportFiles(path, images, options, load))
  })
  withServer(
    program
      .command('migrate <url>')
      .description('Copy images from another registry, with their signatures and other referrers')
      .option('--username <name>', 'the account at that registry')
      .option('--password-file <file>', 'a file with its password or token')
      .option('--source-ca <file>', 'trust the authorities in this PEM file for that registry')
      .option('--pattern <pattern...>', 'copy only repositories that match [all in its catalog]')
      .option('--repository <name...>', 'copy these repositories, if that registry has no catalog')
      .option('--prefix <prefix>', 'put this before the names in cay, such as old/'),
  ).action(async (url, options) => {
    const { migrateFrom } = await import('./transfer.ts')
    done(await migrateFrom(url, options, load))
  })
}
