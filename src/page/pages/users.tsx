import { call, change, type Item } from '../api.ts'
import { type Column, DataTable } from '../parts/data-table.tsx'
import { confirm } from '../parts/dialog.tsx'
import { Toolbar } from '../parts/filter.tsx'
import { type Field, FormButton } from '../parts/form-dialog.tsx'
import { Empty } from '../parts/states.tsx'
import { attempt } from '../parts/toast.tsx'
import { TokensButton } from '../parts/tokens.tsx'
import { Time } from '../parts/values.tsx'
import { usePages } from '../resource.ts'
import { caller } from '../session.ts'

type User = Item<'users'>

const columns: Column<User>[] = [
  {
    title: 'Name',
    cell: ({ name, admin, disabled }) => (
      <>
        <b>{name}</b> {admin && <span class="chip good">admin</span>}{' '}
        {disabled && <span class="chip bad">disabled</span>}
      </>
    ),
  },
  { title: 'Created', class: 'number wide', cell: ({ createdAt }) => <Time at={createdAt} /> },
  { title: 'Acts', class: 'number', cell: (user) => <UserActs user={user} /> },
]

const newUser: Field[] = [
  { name: 'name', label: 'Name', help: 'Lowercase letters and digits, with ".", "_" or "-" between them.' },
  { name: 'password', label: 'Password', type: 'password', help: 'At least 8 characters.' },
  { name: 'admin', label: 'Server admin', type: 'checkbox', help: 'May do everything.' },
]

/** The users: people, who sign in with a password. */
export function Users() {
  const pages = usePages('users', (cursor, signal) =>
    call('get', 'users', { query: { limit: 100, ...(cursor !== undefined && { cursor }) }, signal }),
  )
  return (
    <>
      <Toolbar>
        <FormButton
          label="Add a user"
          title="Add a user"
          action="Add"
          fields={newUser}
          submit={({ name = '', password = '', admin }) =>
            change('put', 'users/:name', { params: { name }, body: { password, admin: admin === 'on' } })
          }
        />
      </Toolbar>
      <DataTable
        label="Users"
        columns={columns}
        pages={pages}
        keyOf={({ name }) => name}
        empty={<Empty title="No users" />}
      />
    </>
  )
}

function UserActs({ user: { name, disabled } }: { user: User }) {
  const params = { name }
  const isOwn = name === caller.value?.account
  const remove = async () => {
    const isSure = await confirm({
      title: `Delete ${name}?`,
      text: `This deletes ${name} with its robots, tokens and grants. Its repositories stay. This cannot be undone.`,
      action: `Delete ${name}`,
    })
    if (isSure) await attempt(() => change('delete', 'users/:name', { params }), `${name} is deleted`)
  }
  const toggle = () =>
    attempt(
      () => change('patch', 'users/:name', { params, body: { disabled: !disabled } }),
      disabled ? `${name} can sign in again` : `${name} can no longer sign in`,
    )
  return (
    <span class="row-acts">
      <TokensButton account={name} />
      {!isOwn && (
        <>
          <button type="button" aria-label={`${disabled ? 'Enable' : 'Disable'}: ${name}`} onClick={toggle}>
            {disabled ? 'Enable' : 'Disable'}
          </button>
          <button type="button" class="danger" aria-label={`Delete: ${name}`} onClick={remove}>
            Delete
          </button>
        </>
      )}
    </span>
  )
}
