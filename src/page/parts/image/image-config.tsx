import type { Answer } from '../../server/api.ts'
import { visible } from '../../values/format.ts'
import { Card } from '../card.tsx'
import { ClientText, Facts } from '../tables/values.tsx'

type Image = NonNullable<Answer<'repositories/:repository/manifests/:reference'>['image']>

/** How containers of an image run. */
export function ImageConfig({ image }: { image: Image }) {
  return (
    <Card title="Configuration">
      <Facts
        of={{
          Entrypoint: image.entrypoint.length > 0 && <code>{visible(image.entrypoint.join(' '))}</code>,
          Command: image.command.length > 0 && <code>{visible(image.command.join(' '))}</code>,
          User: image.user,
          'Working directory': image.workingDirectory && <code>{visible(image.workingDirectory)}</code>,
          Ports: image.ports.join(', '),
          Volumes: image.volumes.join(', '),
          Environment: image.environment.length > 0 && <Lines of={image.environment} />,
        }}
      />
    </Card>
  )
}

function Lines({ of }: { of: string[] }) {
  return (
    <ul class="lines">
      {of.map((line) => (
        <li key={line}>
          <code>{visible(line)}</code>
        </li>
      ))}
    </ul>
  )
}

const PREFIX = 'org.opencontainers.image.'

/** The labels and annotations of a manifest, those of the OCI image-spec first. */
export function Labels({ labels, annotations }: Record<'labels' | 'annotations', Record<string, string>>) {
  const all = { ...annotations, ...labels }
  const names = Object.keys(all).sort(
    (a, b) => Number(b.startsWith(PREFIX)) - Number(a.startsWith(PREFIX)) || a.localeCompare(b),
  )
  if (names.length === 0) return null
  return (
    <Card title="Labels and annotations">
      <dl class="facts labels">
        {names.map((name) => (
          <div key={name}>
            <dt>
              <code>{visible(name)}</code>
            </dt>
            <dd>
              <ClientText text={all[name] ?? ''} />
            </dd>
          </div>
        ))}
      </dl>
    </Card>
  )
}
