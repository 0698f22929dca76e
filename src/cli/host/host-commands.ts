import type { Command } from 'commander'
import { addServiceCommands } from '../service/commands.ts'
import { load, withSettings } from '../settings.ts'
import { addServeCommand } from './serve-command.ts'

/** Adds the commands that serve, and that work on this host instead of calling the admin API. */
export function addHostCommands(program: Command, exit: (code: number) => void): void {
  addServeCommand(program, exit)
  withSettings(program.command('config').description('Print the effective configuration')).action(
    async (options) => {
      const { printConfig } = await import('./config.ts')
      await printConfig(options)
    },
  )
  withSettings(program.command('health').description('Check whether the server on this host is ready'))
    .option('--url <url>', 'the address of the server [the first configured address]')
    .action(async (options) => {
      const { askHealth } = await import('./health.ts')
      const { loadRunning } = await import('./running.ts')
      exit(await askHealth((await loadRunning(options)).config, options.url))
    })
  withSettings(
    program.command('initial-password').description('Print the generated password of the first account'),
  ).action(async (options) => {
    const { printInitialPassword } = await import('./initial-password.ts')
    printInitialPassword((await load(options)).config)
  })
  withSettings(
    program
      .command('trust')
      .description('Trust the certificate authority of --tls auto on this host, or show how other hosts do'),
  )
    .option(
      '--install',
      'install the authority, instead of printing what this would do and the commands for other hosts',
    )
    .option('--uninstall', 'uninstall the authority')
    .option('--registry <names>', 'HOST:PORT as clients write it, with commas between')
    .option('--root <folder>', 'write below this folder instead of /, and run no commands')
    .action(async (options) => {
      const { trust } = await import('./trust.ts')
      const { loadRunning } = await import('./running.ts')
      exit(await trust((await loadRunning(options)).config, options))
    })
  withSettings(
    program
      .command('client-setup <client>')
      .description(
        'Print the settings with which docker, containerd, podman, k3s or buildkit uses the cache',
      ),
  )
    .option('--registry <name>', 'HOST:PORT as the client reaches this server')
    .action(async (client, options) => {
      const { clientSetup } = await import('./client-setup.ts')
      const { loadWithUpstreams } = await import('./running.ts')
      clientSetup(client, (await loadWithUpstreams(options)).config, options)
    })
  addServiceCommands(program, exit)
  program
    .command('licenses')
    .description('Print the licences of cay and of everything in the executable')
    .action(async () => {
      const { printLicenses } = await import('../licenses.ts')
      await printLicenses()
    })
}

/** Adds `cay login` and `cay logout`. */
export function addSignInCommands(program: Command): void {
  program
    .command('login <url>')
    .description('Sign in at a remote server, and store a token for other commands')
    .option(
      '-u, --username <name>',
      'the user; without a terminal, the password is read from standard input, and without this option a token',
    )
    .option('--ca <file>', 'trust the authorities in this PEM file instead of those of the system')
    .action(async (url, options) => {
      const { login } = await import('../remote/login.ts')
      await login(url, options)
    })
  program
    .command('logout [url]')
    .description('Sign out of a remote server [the current one], and revoke the token of cay login')
    .action(async (url) => {
      const { logout } = await import('../remote/login.ts')
      await logout(url)
    })
}
