import { useState } from 'preact/hooks'
import { pullCommands } from '../values/pull-commands.ts'
import { Command } from './tables/values.tsx'

interface PullCommandsProps {
  repository: string
  tag: { name: string; kind: string } | undefined
}

/** The command that pulls an artifact, for each client that fits its kind. */
export function PullCommands({ repository, tag }: PullCommandsProps) {
  const [chosen, setChosen] = useState(0)
  if (tag === undefined) return null
  const commands = pullCommands(tag.kind, location.host, repository, tag.name)
  const [, command] = commands[chosen] ?? commands[0] ?? ['', '']
  return (
    <section class="pull" aria-label="Pull commands">
      <fieldset class="clients" aria-label="Client">
        {commands.map(([client], index) => (
          <button key={client} type="button" aria-pressed={index === chosen} onClick={() => setChosen(index)}>
            {client}
          </button>
        ))}
      </fieldset>
      <Command text={command} />
    </section>
  )
}
