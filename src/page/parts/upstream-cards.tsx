import { change, type Item } from '../server/api.ts'
import { useAnswer } from '../server/resource.ts'
import { formatCount, visible } from '../values/format.ts'
import { FormButton } from './forms/form-dialog.tsx'
import { Empty, Shown } from './states.tsx'
import { Command, Time } from './tables/values.tsx'
import { attempt, attemptIfSure } from './toast.tsx'

type Upstream = Item<'upstreams'>

/** The registries whose content is cached. */
export function UpstreamCards() {
  const found = useAnswer('upstreams')
  return (
    <>
      <div class="between">
        <h2>Upstreams</h2>
        <FormButton
          label="Add an upstream"
          action="Add"
          fields={[
            {
              name: 'name',
              label: 'Name',
              placeholder: 'docker.io',
              help: 'The first component of its repository names here.',
            },
            { name: 'url', label: 'URL', isOptional: true, placeholder: 'https:// and the name' },
            { name: 'username', label: 'Account', isOptional: true },
            { name: 'password', label: 'Password or token', type: 'password', isOptional: true },
          ]}
          submit={({ name = '', ...given }) =>
            change('put', 'upstreams/:name', {
              params: { name },
              body: Object.fromEntries(Object.entries(given).filter(([, value]) => value !== '')),
            })
          }
        />
      </div>
      <Shown of={found}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="No upstream is configured">
              With one, images of another registry are pulled through this one.
            </Empty>
          ) : (
            <div class="cards">
              {items.map((upstream) => (
                <UpstreamCard key={upstream.name} upstream={upstream} />
              ))}
            </div>
          )
        }
      </Shown>
    </>
  )
}

function UpstreamCard({ upstream }: { upstream: Upstream }) {
  const { name, url, state, pullsRemaining, pullLimit, configuredIn, credentialsSet, lastCheck } = upstream
  const params = { name }
  const image = url.includes('docker.io') ? 'library/alpine' : 'NAMESPACE/IMAGE'
  const check = () =>
    attempt(async () => {
      const { reachable, message, durationMilliseconds } = await change('post', 'upstreams/:name/check', {
        params,
      })
      if (!reachable) throw new Error(message)
      return durationMilliseconds
    }, `${name} responds`)
  const remove = () =>
    attemptIfSure(
      {
        title: `Remove ${name}?`,
        text: 'Nothing is fetched from it any more. Its repositories stay.',
        action: 'Remove the upstream',
      },
      () => change('delete', 'upstreams/:name', { params }),
      `${name} is removed`,
    )
  return (
    <section class="card">
      <header>
        <h3>{name}</h3>
        <span class={state === 'up' ? 'chip good' : 'chip warning'}>{state}</span>
      </header>
      <p class="muted">
        {visible(url)}
        {credentialsSet ? ', with an account' : ', anonymous'}
        {pullsRemaining !== undefined &&
          `, ${formatCount(pullsRemaining)} of ${formatCount(pullLimit ?? pullsRemaining)} pulls left`}
      </p>
      {lastCheck && <LastCheck of={lastCheck} />}
      <Command text={`docker pull ${location.host}/${name}/${image}`} />
      <div class="actions">
        <button type="button" aria-label={`Check: ${name}`} onClick={check}>
          Check
        </button>
        {configuredIn === undefined ? (
          <button type="button" class="danger" aria-label={`Remove: ${name}`} onClick={remove}>
            Remove
          </button>
        ) : (
          <small>Configured in {visible(configuredIn)}</small>
        )}
      </div>
    </section>
  )
}

function LastCheck({ of: { at, reachable, message } }: { of: NonNullable<Upstream['lastCheck']> }) {
  return (
    <p class="muted">
      Last check: {reachable ? 'ok' : 'failed'} <Time at={at} />
      {!reachable && `: ${visible(message)}`}
    </p>
  )
}
