import { withQuery } from '../admin-client.ts'
import { shown } from '../output/shown.ts'
import type { Noun } from '../verb.ts'

/** `cay access` */
export const access: Noun = {
  summary: 'Who may do what in a repository, and by which grants',
  byDefault: 'show',
  verbs: {
    show: {
      usage: '<account> <repository>',
      summary: 'Show what an account, or anonymous, may do in a repository, and why',
      options: [['--with <token>', 'with one of its tokens, by its id, which may be narrower']],
      run: async ({ client, args: [account = '', repository], options }) => {
        const query = { account: account === 'anonymous' ? undefined : account, repository }
        const path = withQuery('/access', { ...query, credential: options.with })
        const value = await client.request<Explained>('GET', path)
        const may = value.actions.length === 0 ? 'nothing' : value.actions.join(', ')
        const disabled = value.disabled ? ', for it is disabled' : ''
        return {
          value,
          lines: [shown(`${account} may`, 'actions', () => may + disabled)],
          tables: [
            {
              title: 'By',
              items: value.reasons,
              columns: [
                shown('reason', 'by'),
                shown('subject', 'subject'),
                shown('pattern', 'pattern'),
                shown('role', 'role'),
                shown('gives', 'actions'),
              ],
            },
            {
              title: 'Narrowed by',
              items: value.limits,
              columns: [shown('what', 'by'), shown('name', 'name'), shown('leaves', 'actions')],
            },
          ],
        }
      },
    },
  },
}

/** What an account may do, and why. */
interface Explained {
  actions: string[]
  disabled: boolean
  reasons: unknown[]
  limits: unknown[]
}
