import type { HelpConfiguration } from 'commander'

/** How help is written: placeholders in capitals, and of the other names of a verb only the short ones. */
export const HELP: HelpConfiguration = {
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
