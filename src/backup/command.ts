import type { Command } from 'commander'
import type { LoadConfig } from '../cli/connection.ts'
import { fsckFolder } from '../integrity/command.ts'

/** Adds `cay backup`, `cay restore` and `cay fsck`. They open files themselves, as the user who runs them. */
export function addBackupCommands(program: Command, load: LoadConfig, done: (code: number) => void): void {
  const withFolders = (command: Command) =>
    command
      .option('--config <file>', 'the configuration file')
      .option('--data <folder>', 'the data folder')
      .option('--metadata <folder>', 'the folder of the database')
  withFolders(
    program
      .command('backup <folder>')
      .description('Back up the data folder, also while cay serves; a folder can hold many snapshots')
      .option('--keep <number>', 'delete all but the newest snapshots')
      .option('--with-cache', 'include content cached from upstreams')
      .option('--verify', 'hash everything in the newest snapshot, instead of making a new one')
      .option('--list', 'list the snapshots, instead of making a new one'),
  ).action(async (folder, options) => {
    const { backup } = await import('./backups.ts')
    done(await backup(folder, options, load))
  })
  withFolders(
    program
      .command('restore <folder>')
      .description('Restore a backup into a new data folder')
      .option('--snapshot <name>', 'the snapshot [the newest]'),
  ).action(async (folder, options) => {
    const { restore } = await import('./backups.ts')
    done(await restore(folder, options, load))
  })
  withFolders(
    program
      .command('fsck')
      .description('Check whether the database and the files of the data folder agree, also while cay serves')
      .option('--repair', 'repair what can be repaired without losing content; stop cay first'),
  ).action(async (options) => {
    done(await fsckFolder(options, load))
  })
}
