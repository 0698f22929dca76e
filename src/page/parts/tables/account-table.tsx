import type { ComponentChildren } from 'preact'
import { call } from '../../server/api.ts'
import type { Pages } from '../../server/resource.ts'
import { caller } from '../../server/session.ts'
import { countOf } from '../../values/format.ts'
import { attempt, attemptIfSure } from '../toast.tsx'
import { TokensButton } from '../tokens.tsx'
import { type Column, DataTable } from './data-table.tsx'
import { Time } from './values.tsx'

interface Account {
  name: string
  admin?: boolean
  disabled: boolean
  createdAt: string
}

interface Acts {
  /** What is deleted with an account besides its tokens, and what is not: `its grants.` */
  consequences: string
  disable: (params: { name: string }, disabled: boolean) => Promise<unknown>
  remove: (params: { name: string }) => Promise<unknown>
}

interface AccountTableProps extends Acts {
  label: string
  pages: Pages<Account>
  /** Shown instead of a table without rows. */
  empty: ComponentChildren
}

/** A list of users or robots, and what can be done with each. */
export function AccountTable({ label, pages, empty, ...acts }: AccountTableProps) {
  const columns: Column<Account>[] = [
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
    {
      title: 'Actions',
      class: 'number',
      cell: (account) => <AccountActs account={account} {...acts} />,
    },
  ]
  return <DataTable label={label} columns={columns} pages={pages} keyOf={({ name }) => name} empty={empty} />
}

function AccountActs({ account, consequences, disable, remove }: Acts & { account: Account }) {
  const { name, disabled } = account
  const params = { name }
  const ask = async () => ({
    title: `Delete ${name}?`,
    text: `This deletes ${name}, ${await countTokens(name)} and ${consequences} This cannot be undone.`,
    action: `Delete ${name}`,
  })
  const toggle = () =>
    attempt(
      () => disable(params, !disabled),
      disabled ? `${name} can sign in again` : `${name} can no longer sign in`,
    )
  return (
    <span class="row-acts">
      <TokensButton account={name} />
      {name !== caller.value?.account && (
        <>
          <button type="button" aria-label={`${disabled ? 'Enable' : 'Disable'}: ${name}`} onClick={toggle}>
            {disabled ? 'Enable' : 'Disable'}
          </button>
          <button
            type="button"
            class="danger"
            aria-label={`Delete: ${name}`}
            onClick={() => attemptIfSure(ask, () => remove(params), `${name} is deleted`)}
          >
            Delete
          </button>
        </>
      )}
    </span>
  )
}

/** How many tokens are counted before an account is deleted. */
const TOKENS_MAX = 100

async function countTokens(account: string): Promise<string> {
  const { items, nextCursor } = await call('get', 'accounts/:account/tokens', {
    params: { account },
    query: { limit: TOKENS_MAX },
  })
  return `${nextCursor === undefined ? '' : 'more than '}${countOf(items.length, 'token')}`
}
