import { change, type Item } from '../server/api.ts'
import { useAnswer } from '../server/resource.ts'
import { countOf, visible } from '../values/format.ts'
import { Card } from './card.tsx'
import { type Field, FormButton } from './forms/form-dialog.tsx'
import { Empty, Shown } from './states.tsx'
import { Facts } from './tables/values.tsx'
import { attemptIfSure } from './toast.tsx'

type Policy = Item<'retention/policies'>

/** The retention policies in words. */
export function PolicyCards() {
  const found = useAnswer('retention/policies')
  return (
    <Shown of={found}>
      {({ items }) =>
        items.length === 0 ? (
          <Empty title="No retention policy">Without one, tags stay until somebody deletes them.</Empty>
        ) : (
          <div class="cards">
            {items.map((policy) => (
              <PolicyCard key={policy.name} policy={policy} />
            ))}
          </div>
        )
      }
    </Shown>
  )
}

function PolicyCard({ policy }: { policy: Policy }) {
  const { name, configuredIn, repositories, tags, untaggedDays, includeImmutable } = policy
  const params = { name }
  const { name: _, configuredIn: __, ...body } = policy
  const remove = () =>
    attemptIfSure(
      {
        title: `Delete the policy ${name}?`,
        text: 'Tags that it has expired stay deleted. It expires no others.',
        action: 'Delete the policy',
      },
      () => change('delete', 'retention/policies/:name', { params }),
      `The policy ${name} is deleted`,
      () => change('put', 'retention/policies/:name', { params, body }),
    )
  return (
    <Card
      title={name}
      aside={configuredIn !== undefined && <small>Configured in {visible(configuredIn)}</small>}
    >
      <Facts
        of={{
          Repositories: <Patterns of={repositories} />,
          Tags: <Patterns of={tags} />,
          Keeps: keptBy(policy).join(', or ') || 'nothing',
          'Untagged manifests': untaggedDays !== undefined && `deleted after ${countOf(untaggedDays, 'day')}`,
          'Immutable tags': includeImmutable && 'can be deleted, too',
        }}
      />
      {configuredIn === undefined && (
        <div class="actions">
          <PolicyForm policy={policy} />
          <button type="button" class="danger" aria-label={`Delete: ${name}`} onClick={remove}>
            Delete
          </button>
        </div>
      )}
    </Card>
  )
}

function Patterns({ of }: { of: readonly string[] }) {
  return (
    <span class="chips">
      {of.map((pattern) => (
        <code key={pattern} class="chip">
          {visible(pattern)}
        </code>
      ))}
    </span>
  )
}

/** Returns what a policy keeps, in words. */
function keptBy({ newest, order, pushedDays, pulledDays, keep }: Policy): string[] {
  return [
    newest !== undefined && `the newest ${newest} by ${order === 'version' ? 'version' : 'push time'}`,
    pushedDays !== undefined && `pushed in the last ${countOf(pushedDays, 'day')}`,
    pulledDays !== undefined && `pulled or pushed in the last ${countOf(pulledDays, 'day')}`,
    keep.length > 0 && visible(keep.join(', ')),
  ].filter((text) => text !== false)
}

const patternsOf = (text = '') => text.split(/[\s,]+/).filter((one) => one !== '')

const numberOf = (name: string, text = '') => (text === '' ? {} : { [name]: Number(text) })

const days = { type: 'number', isOptional: true, min: 1, max: 36_500 } as const

/** Which repositories and tags a policy is about. */
const scopeFields = (policy?: Policy): Field[] => [
  ...(policy === undefined ? [{ name: 'name', label: 'Name', placeholder: 'ci' }] : []),
  {
    name: 'repositories',
    label: 'Repositories',
    value: policy?.repositories.join(' '),
    placeholder: 'ci/**',
    help: 'Patterns, separated by spaces.',
  },
  { name: 'tags', label: 'Tags that can be deleted', value: policy?.tags.join(' ') ?? '*' },
  { name: 'keep', label: 'Tags to keep', isOptional: true, value: policy?.keep.join(' '), placeholder: 'v*' },
]

/** What a policy keeps. */
const ruleFields = (policy?: Policy): Field[] => [
  {
    name: 'newest',
    label: 'Keep this many of the newest',
    ...days,
    max: 10_000,
    value: policy?.newest?.toString(),
  },
  {
    name: 'order',
    label: 'Newest by',
    options: { pushed: 'Push time', version: 'Version' },
    value: policy?.order ?? 'pushed',
  },
  { name: 'pushedDays', label: 'Keep if pushed within days', ...days, value: policy?.pushedDays?.toString() },
  { name: 'pulledDays', label: 'Keep if pulled within days', ...days, value: policy?.pulledDays?.toString() },
  {
    name: 'untaggedDays',
    label: 'Delete manifests without a tag after days',
    ...days,
    value: policy?.untaggedDays?.toString(),
  },
  {
    name: 'includeImmutable',
    label: 'Delete immutable tags, too',
    type: 'checkbox',
    value: policy?.includeImmutable ? 'on' : '',
  },
]

/** Adds a policy, or changes one. */
export function PolicyForm({ policy }: { policy?: Policy }) {
  const label = policy === undefined ? 'Add a policy' : 'Change'
  return (
    <FormButton
      label={label}
      isPrimary={policy === undefined}
      title={policy === undefined ? label : `Change ${policy.name}`}
      action={policy === undefined ? 'Add' : 'Save'}
      fields={[...scopeFields(policy), ...ruleFields(policy)]}
      submit={({
        name = policy?.name ?? '',
        repositories,
        tags,
        keep,
        newest,
        order,
        includeImmutable,
        ...given
      }) =>
        change('put', 'retention/policies/:name', {
          params: { name },
          body: {
            repositories: patternsOf(repositories),
            tags: patternsOf(tags),
            keep: patternsOf(keep),
            order: order as Policy['order'],
            includeImmutable: includeImmutable === 'on',
            ...numberOf('newest', newest),
            ...numberOf('pushedDays', given.pushedDays),
            ...numberOf('pulledDays', given.pulledDays),
            ...numberOf('untaggedDays', given.untaggedDays),
          },
        })
      }
    />
  )
}
