import { Toolbar } from '../../parts/forms/filter.tsx'
import { FormButton } from '../../parts/forms/form-dialog.tsx'
import { Empty } from '../../parts/states.tsx'
import { AccountTable } from '../../parts/tables/account-table.tsx'
import { change } from '../../server/api.ts'
import { useList } from '../../server/resource.ts'
import { caller } from '../../server/session.ts'

/** The robots: accounts for machines, which sign in with tokens. */
export function Robots() {
  const pages = useList('robots')
  return (
    <>
      <Toolbar>
        <FormButton
          label="Add a robot"
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
      <AccountTable
        label="Robots"
        pages={pages}
        consequences="its grants."
        disable={(params, disabled) => change('patch', 'robots/:name', { params, body: { disabled } })}
        remove={(params) => change('delete', 'robots/:name', { params })}
        empty={<Empty title="No robots">A robot is an account for a machine, such as a CI pipeline.</Empty>}
      />
    </>
  )
}
