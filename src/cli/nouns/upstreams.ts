import { card, listing } from '../acts.ts'
import { apiPath } from '../admin-client.ts'
import { asCount, shown } from '../output/shown.ts'
import type { Noun } from '../verb.ts'

/** `cay upstream` */
export const upstreams: Noun = {
  summary: 'Upstreams: registries whose content is cached',
  verbs: {
    list: {
      summary: 'List the upstreams that are configured',
      isList: true,
      run: () =>
        listing(
          '/upstreams',
          [
            shown('name', 'name'),
            shown('state', 'state'),
            shown('url', 'url'),
            shown('pulls left', 'pullsRemaining'),
          ],
          'None is configured: cay serve --upstream docker.io, or [[upstream]] in cay.toml.',
        ),
    },
    show: {
      usage: '<upstream>',
      summary: 'Show an upstream; of its account only whether there is one',
      run: ({ client, args: [name = ''] }) =>
        card(client, apiPath('upstreams', name), [
          shown('Name', 'name'),
          shown('State', 'state'),
          shown('URL', 'url'),
          shown('Mirrors', 'mirrors'),
          shown('Account', 'hasCredentials'),
          shown('Pulls left', 'pullsRemaining', asCount),
          shown('Pulls at most', 'pullsLimit', asCount),
        ]),
    },
    check: {
      usage: '<upstream>',
      summary: 'Ask an upstream whether it is there and takes the account',
      run: async ({ client, args: [name = ''] }) => ({
        value: await client.request('POST', `${apiPath('upstreams', name)}/check`),
        lines: [
          shown('Reached', 'isReached'),
          shown('Milliseconds', 'milliseconds'),
          shown('Says', 'message'),
        ],
      }),
    },
  },
}
