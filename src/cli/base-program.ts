import { Command } from 'commander'
import { commit, version } from '../config/version.ts'
import { HELP } from './output/help.ts'

/** Returns a program without commands. */
export function newProgram(): Command {
  return new Command('cay')
    .description('A private OCI registry and image cache in one executable')
    .version(`cay ${version} (${commit})`, '--version')
    .showHelpAfterError('(run cay help for a list of commands)')
    .configureHelp(HELP)
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'cay: ')) })
    .exitOverride()
}
