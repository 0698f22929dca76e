import { Card } from '../parts/card.tsx'
import { Filter, Toolbar, useParam } from '../parts/forms/filter.tsx'
import { PageHeader } from '../parts/page-header.tsx'
import { Shown } from '../parts/states.tsx'
import { Facts, Time } from '../parts/tables/values.tsx'
import { useAnswer } from '../server/resource.ts'
import { visible } from '../values/format.ts'

/** The settings of the server, which its configuration decides. */
export function Settings() {
  const [q, setQ] = useParam('q')
  const found = useAnswer('server')
  return (
    <Shown of={found} title="Settings">
      {({ version, commit, startedAt, problem, features, settings }) => (
        <>
          <PageHeader
            title="Settings"
            subtitle="Change them in the configuration file, with flags or in the environment, and restart the server."
          >
            <a href="/swagger">API reference</a>
          </PageHeader>
          <Card title="Server">
            <Facts
              of={{
                Version: `${version} (${commit})`,
                Started: <Time at={startedAt} />,
                Health: problem ?? 'ok',
                Features: features.join(', '),
              }}
            />
          </Card>
          <Toolbar>
            <Filter label="Filter settings" value={q} set={setQ} />
          </Toolbar>
          <dl class="card facts settings-list">
            {settings
              .filter(({ name, description }) =>
                `${name} ${description}`.toLowerCase().includes(q.toLowerCase()),
              )
              .map(({ name, value, description, configuredIn }) => (
                <div key={name}>
                  <dt>
                    <code>{name}</code>
                  </dt>
                  <dd>
                    <b>{shown(value)}</b>
                    <small>{description}</small>
                    <small>
                      {configuredIn === undefined ? 'Default' : `Set by ${visible(configuredIn)}`}
                    </small>
                  </dd>
                </div>
              ))}
          </dl>
        </>
      )}
    </Shown>
  )
}

function shown(value: string | number | boolean | string[] | undefined): string {
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return 'not set'
  return Array.isArray(value) ? value.join(', ') : String(value)
}
