import { call, change, type Item } from '../api.ts'
import { type Column, DataTable } from '../parts/data-table.tsx'
import { confirm } from '../parts/dialog.tsx'
import { Toolbar } from '../parts/filter.tsx'
import { FormButton } from '../parts/form-dialog.tsx'
import { Empty } from '../parts/states.tsx'
import { attempt } from '../parts/toast.tsx'
import { TokensButton } from '../parts/tokens.tsx'
import { Time } from '../parts/values.tsx'
import { usePages } from '../resource.ts'
import { caller } from '../session.ts'

type Robot = Item<'robots'>

const columns: Column<Robot>[] = [
  {
    title: 'Name',
    cell: ({ name, disabled }) => (
      <>
        <b>{name}</b> {disabled && <span class="chip bad">disabled</span>}
      </>
    ),
  },
  { title: 'Created', class: 'number wide', cell: ({ createdAt }) => <Time at={createdAt} /> },
  { title: 'Acts', class: 'number', cell: (robot) => <RobotActs robot={robot} /> },
]

/** The robots: accounts for machines, which sign in with tokens. */
export function Robots() {
  const pages = usePages('robots', (cursor, signal) =>
    call('get', 'robots', { query: { limit: 100, ...(cursor !== undefined && { cursor }) }, signal }),
  )
  return (
    <>
      <Toolbar>
        <FormButton
          label="Add a robot"
          title="Add a robot"
          action="Add"
          fields={[
            {
              name: 'name',
              label: 'Name',
              value: `${caller.value?.account ?? 'owner'}+`,
              help: 'The name of its owner, "+", and its own name. It can never do more than its owner.',
            },
          ]}
          submit={({ name = '' }) => change('put', 'robots/:name', { params: { name } })}
        />
      </Toolbar>
      <DataTable
        label="Robots"
        columns={columns}
        pages={pages}
        keyOf={({ name }) => name}
        empty={<Empty title="No robots">A robot is an account for a machine, such as a CI pipeline.</Empty>}
      />
    </>
  )
}

function RobotActs({ robot: { name, disabled } }: { robot: Robot }) {
  const params = { name }
  const remove = async () => {
    const isSure = await confirm({
      title: `Delete ${name}?`,
      text: `This deletes ${name} with its tokens and grants. This cannot be undone.`,
      action: `Delete ${name}`,
    })
    if (isSure) await attempt(() => change('delete', 'robots/:name', { params }), `${name} is deleted`)
  }
  const toggle = () =>
    attempt(
      () => change('patch', 'robots/:name', { params, body: { disabled: !disabled } }),
      disabled ? `${name} can sign in again` : `${name} can no longer sign in`,
    )
  return (
    <span class="row-acts">
      <TokensButton account={name} />
      <button type="button" aria-label={`${disabled ? 'Enable' : 'Disable'}: ${name}`} onClick={toggle}>
        {disabled ? 'Enable' : 'Disable'}
      </button>
      <button type="button" class="danger" aria-label={`Delete: ${name}`} onClick={remove}>
        Delete
      </button>
    </span>
  )
}
