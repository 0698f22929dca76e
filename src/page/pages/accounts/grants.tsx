import { Toolbar } from '../../parts/forms/filter.tsx'
import { FormButton } from '../../parts/forms/form-dialog.tsx'
import { Empty } from '../../parts/states.tsx'
import { type Column, DataTable } from '../../parts/tables/data-table.tsx'
import { Time } from '../../parts/tables/values.tsx'
import { attempt } from '../../parts/toast.tsx'
import { change, type Item } from '../../server/api.ts'
import { useList } from '../../server/resource.ts'
import { visible } from '../../values/format.ts'

type Grant = Item<'grants'>

const columns: Column<Grant>[] = [
  {
    title: 'Who',
    cell: ({ subject, role }) => (
      <>
        <b>{visible(subject)}</b>
        <small class="sub narrow-only">{role}</small>
      </>
    ),
  },
  { title: 'Role', class: 'wide', cell: ({ role }) => <span class="chip">{role}</span> },
  { title: 'Repositories', cell: ({ pattern }) => <code>{visible(pattern)}</code> },
  { title: 'Since', class: 'number wide', cell: ({ createdAt }) => <Time at={createdAt} /> },
  {
    title: 'Actions',
    class: 'number',
    cell: (grant) => (
      <button
        type="button"
        class="danger"
        aria-label={`Revoke: ${grant.subject} on ${grant.pattern}`}
        onClick={() => revoke(grant)}
      >
        Revoke
      </button>
    ),
  },
]

async function revoke({ subject, pattern, role }: Grant): Promise<void> {
  await attempt(
    () => change('delete', 'grants', { query: { subject, pattern } }),
    `${subject} is no longer ${role} on ${pattern}`,
    () => change('put', 'grants', { body: { subject, pattern, role } }),
  )
}

/** The roles of accounts and groups on repositories. */
export function Grants() {
  const pages = useList('grants')
  return (
    <>
      <Toolbar>
        <FormButton
          label="Grant a role"
          action="Grant"
          fields={[
            {
              name: 'subject',
              label: 'Who',
              help: 'A user, a robot, "group:NAME", "authenticated" for all accounts, or "anonymous" for everybody.',
            },
            {
              name: 'pattern',
              label: 'Repositories',
              placeholder: 'team/**',
              help: '"*" stands for one component of a name, "**" for any number.',
            },
            {
              name: 'role',
              label: 'Role',
              options: {
                reader: 'Reader: pull',
                writer: 'Writer: pull and push',
                admin: 'Admin: pull, push and delete',
              },
            },
          ]}
          submit={({ subject = '', pattern = '', role = 'reader' }) =>
            change('put', 'grants', { body: { subject, pattern, role: role as Grant['role'] } })
          }
        />
      </Toolbar>
      <DataTable
        label="Grants"
        columns={columns}
        pages={pages}
        keyOf={({ subject, pattern }) => `${subject} ${pattern}`}
        empty={
          <Empty title="No grants">
            Everybody can do everything in their own namespace, and nothing elsewhere.
          </Empty>
        }
      />
    </>
  )
}
