import type { Command } from 'commander'
import { load, withSettings } from '../cli/settings.ts'

/** Adds `cay serve`. */
export function addServeCommand(program: Command, exit: (code: number) => void): void {
  withSettings(program.command('serve').description('Serve the registry')).action(async (options) => {
    const { serve } = await import('./serve.ts')
    exit(await serve(await load(options)))
  })
}
