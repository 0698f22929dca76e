import { X } from 'lucide-preact'
import { useState } from 'preact/hooks'
import { Dialog } from '../../parts/forms/dialog.tsx'
import { Toolbar } from '../../parts/forms/filter.tsx'
import { FormButton } from '../../parts/forms/form-dialog.tsx'
import { Empty, Shown } from '../../parts/states.tsx'
import { type Column, DataTable } from '../../parts/tables/data-table.tsx'
import { attempt, attemptIfSure } from '../../parts/toast.tsx'
import { call, change, type Item } from '../../server/api.ts'
import { useAnswer, useList } from '../../server/resource.ts'
import { countOf } from '../../values/format.ts'

type Group = Item<'groups'>

const columns: Column<Group>[] = [
  { title: 'Name', cell: ({ name }) => <b>{name}</b> },
  { title: 'Actions', class: 'number', cell: ({ name }) => <GroupActs name={name} /> },
]

/** Groups of accounts, to grant roles to. */
export function Groups() {
  const pages = useList('groups')
  return (
    <>
      <Toolbar>
        <FormButton
          label="Add a group"
          action="Add"
          fields={[{ name: 'name', label: 'Name' }]}
          submit={({ name = '' }) => change('put', 'groups/:name', { params: { name } })}
        />
      </Toolbar>
      <DataTable
        label="Groups"
        columns={columns}
        pages={pages}
        keyOf={({ name }) => name}
        empty={<Empty title="No groups">With a group, several accounts get the same roles.</Empty>}
      />
    </>
  )
}

function GroupActs({ name }: { name: string }) {
  const [isOpen, setOpen] = useState(false)
  const ask = async () => {
    const { members } = await call('get', 'groups/:name', { params: { name } })
    return {
      title: `Delete ${name}?`,
      text: `This deletes the group ${name} with ${countOf(members.length, 'member')}, and its grants. The accounts of its members stay. This cannot be undone.`,
      action: `Delete ${name}`,
    }
  }
  const remove = () =>
    attemptIfSure(ask, () => change('delete', 'groups/:name', { params: { name } }), `${name} is deleted`)
  return (
    <span class="row-acts">
      <button type="button" aria-label={`Members: ${name}`} onClick={() => setOpen(true)}>
        Members
      </button>
      <button type="button" class="danger" aria-label={`Delete: ${name}`} onClick={remove}>
        Delete
      </button>
      {isOpen && (
        <Dialog title={`Members of ${name}`} onClose={() => setOpen(false)}>
          <Members name={name} />
        </Dialog>
      )}
    </span>
  )
}

function Members({ name }: { name: string }) {
  const params = { name }
  const found = useAnswer('groups/:name', { params })
  const edit = (body: { add?: string[]; remove?: string[] }) =>
    change('patch', 'groups/:name', { params, body })
  return (
    <Shown of={found}>
      {({ members }) => (
        <div class="tokens">
          <ul class="lines">
            {members.map((member) => (
              <li key={member} class="between">
                <span>{member}</span>
                <button
                  type="button"
                  class="icon-button small"
                  aria-label={`Remove ${member}`}
                  onClick={() =>
                    attempt(() => edit({ remove: [member] }), `${member} is no longer in ${name}`)
                  }
                >
                  <X aria-hidden />
                </button>
              </li>
            ))}
          </ul>
          {members.length === 0 && <p class="muted">No members</p>}
          <FormButton
            label="Add a member"
            title={`Add a member to ${name}`}
            action="Add"
            fields={[{ name: 'account', label: 'User or robot' }]}
            submit={({ account = '' }) => edit({ add: [account] })}
          />
        </div>
      )}
    </Shown>
  )
}
