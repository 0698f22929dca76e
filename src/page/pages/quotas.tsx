import { Meter } from '../parts/charts/meter.tsx'
import { FormButton } from '../parts/forms/form-dialog.tsx'
import { Empty, Shown } from '../parts/states.tsx'
import { attemptIfSure } from '../parts/toast.tsx'
import { change, type Item } from '../server/api.ts'
import { useAnswer } from '../server/resource.ts'
import { formatBytes, formatCount, visible } from '../values/format.ts'

type Quota = Item<'quotas'>

const GIB = 1024 ** 3

/** How much each namespace holds, and may hold. */
export function Quotas() {
  const found = useAnswer('quotas')
  return (
    <>
      <div class="between">
        <p class="muted">A push that would exceed a quota is refused. What is stored stays.</p>
        <QuotaForm />
      </div>
      <Shown of={found}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="No quotas">Without one, a namespace can fill the disk up to the reserve.</Empty>
          ) : (
            <ul class="card rows">
              {items.map((quota) => (
                <QuotaLine key={quota.namespace} quota={quota} />
              ))}
            </ul>
          )
        }
      </Shown>
    </>
  )
}

/** Returns what a namespace stands for, in words. */
function namespaceName(namespace: string): string {
  if (namespace === '**') return 'The whole server'
  return namespace === '*' ? 'Each other namespace' : namespace
}

function QuotaLine({ quota }: { quota: Quota }) {
  const {
    namespace,
    bytes = 0,
    repositoryCount = 0,
    tagCount = 0,
    bytesMax,
    repositoriesMax,
    tagsMax,
  } = quota
  const { inherited, configuredIn } = quota
  const params = { namespace }
  const body = {
    ...(bytesMax !== undefined && { bytesMax }),
    ...(repositoriesMax !== undefined && { repositoriesMax }),
    ...(tagsMax !== undefined && { tagsMax }),
  }
  const remove = () =>
    attemptIfSure(
      {
        title: `Delete the quota of ${namespace}?`,
        text: `${namespaceName(namespace)} can then hold as much as the disk.`,
        action: 'Delete the quota',
      },
      () => change('delete', 'quotas/:namespace', { params }),
      `${namespaceName(namespace)} has no quota any more`,
      () => change('put', 'quotas/:namespace', { params, body }),
    )
  return (
    <li class="quota">
      <span>
        <b>{namespaceName(namespace)}</b>
        {inherited && <small class="block">has the quota of each namespace</small>}
        {configuredIn !== undefined && <small class="block">configured in {visible(configuredIn)}</small>}
      </span>
      {namespace === '*' ? (
        <small>
          {[
            bytesMax !== undefined && formatBytes(bytesMax),
            repositoriesMax !== undefined && `${formatCount(repositoriesMax)} repositories`,
            tagsMax !== undefined && `${formatCount(tagsMax)} tags`,
          ]
            .filter(Boolean)
            .join(', ')}
        </small>
      ) : (
        <div class="meters">
          <Meter name="Size" used={bytes} max={bytesMax} format={formatBytes} />
          <Meter name="Repositories" used={repositoryCount} max={repositoriesMax} format={formatCount} />
          <Meter name="Tags" used={tagCount} max={tagsMax} format={formatCount} />
        </div>
      )}
      {!inherited && configuredIn === undefined && (
        <span class="row-acts">
          <QuotaForm quota={quota} />
          <button type="button" class="danger" aria-label={`Delete: ${namespace}`} onClick={remove}>
            Delete
          </button>
        </span>
      )}
    </li>
  )
}

/** Sets the quota of a namespace. */
function QuotaForm({ quota }: { quota?: Quota }) {
  const label = quota === undefined ? 'Set a quota' : 'Change'
  const limit = { type: 'number', isOptional: true, min: 0 } as const
  const gibibytes = quota?.bytesMax === undefined ? '' : String(quota.bytesMax / GIB)
  return (
    <FormButton
      label={label}
      isPrimary={quota === undefined}
      title={quota === undefined ? label : `Change the quota of ${quota.namespace}`}
      action="Set"
      fields={[
        ...(quota === undefined
          ? [
              {
                name: 'namespace',
                label: 'Namespace',
                placeholder: 'team',
                help: 'The first component of repository names; "*" for each without its own, "**" for the whole server.',
              },
            ]
          : []),
        { name: 'gibibytes', label: 'Size in GiB', ...limit, step: 'any', value: gibibytes },
        {
          name: 'repositoriesMax',
          label: 'Repositories',
          ...limit,
          value: quota?.repositoriesMax?.toString() ?? '',
        },
        {
          name: 'tagsMax',
          label: 'Tags',
          ...limit,
          value: quota?.tagsMax?.toString() ?? '',
          help: 'A limit that is left empty does not apply.',
        },
      ]}
      submit={({
        namespace = quota?.namespace ?? '',
        gibibytes: size = '',
        repositoriesMax = '',
        tagsMax = '',
      }) =>
        change('put', 'quotas/:namespace', {
          params: { namespace },
          body: {
            ...(size !== '' && { bytesMax: Math.round(Number(size) * GIB) }),
            ...(repositoriesMax !== '' && { repositoriesMax: Number(repositoriesMax) }),
            ...(tagsMax !== '' && { tagsMax: Number(tagsMax) }),
          },
        })
      }
    />
  )
}
