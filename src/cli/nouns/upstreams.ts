import { apiPath } from '../admin-client.ts'
import { field, formatCount } from '../output/format.ts'
import { card, listing } from '../requests.ts'
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
            field('name', 'name'),
            field('state', 'state'),
            field('url', 'url'),
            field('pulls left', 'pullsRemaining'),
          ],
          'No upstream is configured: use cay serve --upstream docker.io, or [[upstream]] in cay.toml.',
        ),
    },
    show: {
      usage: '<upstream>',
      summary: 'Show an upstream, without its credentials',
      run: ({ client, args: [name = ''] }) =>
        card(client, apiPath('upstreams', name), [
          field('Name', 'name'),
          field('State', 'state'),
          field('URL', 'url'),
          field('Mirrors', 'mirrors'),
          field('Has credentials', 'hasCredentials'),
          field('Pulls left', 'pullsRemaining', formatCount),
          field('Pull limit', 'pullsLimit', formatCount),
        ]),
    },
    check: {
      usage: '<upstream>',
      summary: 'Check whether an upstream is reachable and accepts the credentials',
      run: async ({ client, args: [name = ''] }) => ({
        value: await client.request('POST', `${apiPath('upstreams', name)}/check`),
        lines: [
          field('Reachable', 'isReached'),
          field('Milliseconds', 'milliseconds'),
          field('Message', 'message'),
        ],
      }),
    },
  },
}
