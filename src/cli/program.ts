import { Command, type HelpConfiguration } from 'commander'
import { commit, version } from '../config/values.ts'

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

/** How help is written: placeholders in capitals, and of the other names of a verb only the short ones. */
const HELP: HelpConfiguration = {
  optionTerm: ({ flags }) => inCapitals(flags),
  commandUsage: (command) => {
    const names: string[] = []
    for (let at = command.parent; at; at = at.parent) names.unshift(at.name())
    return inCapitals([...names, command.name(), command.usage()].join(' '))
  },
  subcommandTerm: (command) => {
    const alias = SHORT.find((name) => command.aliases().includes(name))
    // The options are in the help of the command itself.
    const words = command
      .usage()
      .replace(/^\[options\] ?/, '')
      .replace(/^\[command\]$/, '')
    return inCapitals(`${command.name()}${alias === undefined ? '' : `, ${alias}`} ${words}`.trimEnd())
  },
}

const SHORT = ['ls', 'rm']

/** `<folder>` -> `FOLDER`, `[tags...]` -> `[TAGS...]` */
function inCapitals(text: string): string {
  return text
    .replaceAll(/<([^>]+)>/g, (_, name: string) => name.toUpperCase())
    .replaceAll(/\[[a-z]+(\.\.\.)?\]/g, (name) => name.toUpperCase())
}

/** What a new owner types, in this order. */
export const FIRST_STEPS = `First steps:
  cay serve                                    serve on 127.0.0.1:5000; the first start prints the password of admin
  cay user passwd admin                        in another terminal: choose your own password
  docker login localhost:5000 -u admin         then: docker push localhost:5000/NAME:TAG

Serve a team (stop the first server with Ctrl-C; cay service install takes the same options):
  cay serve --listen 0.0.0.0:5000 --tls auto --host registry.example
  cay trust                                    print what this host and others run to trust its certificate
  cay user create alice                        alice can push to alice/**
  cay grant create alice 'team/**' writer      and to team/**
  cay robot create alice+ci                    an account for CI: docker login HOST:PORT -u alice+ci, with its token
  cay grant create alice+ci 'alice/**' writer  it can push to alice/**
  cay access team/app                          who can pull and push there
  cay audit --kind denied                      whose pulls and pushes were denied
  cay backup FOLDER                            back up everything, while it serves
`
