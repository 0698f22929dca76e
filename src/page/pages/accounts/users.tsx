import { Toolbar } from '../../parts/forms/filter.tsx'
import { type Field, FormButton } from '../../parts/forms/form-dialog.tsx'
import { Empty } from '../../parts/states.tsx'
import { AccountTable } from '../../parts/tables/account-table.tsx'
import { change } from '../../server/api.ts'
import { useList } from '../../server/resource.ts'

const newUser: Field[] = [
  { name: 'name', label: 'Name', help: 'Lowercase letters and digits, with ".", "_" or "-" between them.' },
  { name: 'password', label: 'Password', type: 'password', help: 'At least 8 characters.' },
  { name: 'admin', label: 'Server admin', type: 'checkbox', help: 'May do everything.' },
]

/** The users: people, who sign in with a password. */
export function Users() {
  const pages = useList('users')
  return (
    <>
      <Toolbar>
        <FormButton
          label="Add a user"
          action="Add"
          fields={newUser}
          submit={({ name = '', password = '', admin }) =>
            change('put', 'users/:name', { params: { name }, body: { password, admin: admin === 'on' } })
          }
        />
      </Toolbar>
      <AccountTable
        label="Users"
        pages={pages}
        consequences="its grants, and its robots with theirs. Its repositories stay."
        disable={(params, disabled) => change('patch', 'users/:name', { params, body: { disabled } })}
        remove={(params) => change('delete', 'users/:name', { params })}
        empty={<Empty title="No users" />}
      />
    </>
  )
}
