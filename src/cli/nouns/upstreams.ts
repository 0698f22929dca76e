import { card, listing } from '../acts.ts'
import { apiPath } from '../admin-client.ts'
import { asCount, shown } from '../output/shown.ts'
import type { Noun } from '../verb.ts'

/** `cay upstream` */
export const upstreams: Noun = {
  summary: 'Show upstreams, the registries whose content is cached',
  verbs: {
    list: {
      summary: 'List the configured upstreams',
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
          'No upstream is configured: use cay serve --upstream docker.io, or [[upstream]] in cay.toml.',
        ),
    },
    show: {
      usage: '<upstream>',
      summary: 'Show an upstream, without its credentials',
      run: ({ client, args: [name = ''] }) =>
        card(client, apiPath('upstreams', name), [
          shown('Name', 'name'),
          shown('State', 'state'),
          shown('URL', 'url'),
          shown('Mirrors', 'mirrors'),
          shown('Has credentials', 'hasCredentials'),
          shown('Pulls left', 'pullsRemaining', asCount),
          shown('Pull limit', 'pullsLimit', asCount),
        ]),
    },
    check: {
      usage: '<upstream>',
      summary: 'Check whether an upstream is reachable and accepts the credentials',
      run: async ({ client, args: [name = ''] }) => ({
        value: await client.request('POST', `${apiPath('upstreams', name)}/check`),
        lines: [
          shown('Reachable', 'isReached'),
          shown('Milliseconds', 'milliseconds'),
          shown('Message', 'message'),
        ],
      }),
    },
  },
}
