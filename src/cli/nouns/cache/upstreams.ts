import type { Answer } from '../../../http/admin/answers.ts'
import { CommandError, EXIT } from '../../failure.ts'
import { type Format, field, formatRelativeTime, formatTime } from '../../output/format.ts'
import { sanitize } from '../../output/terminal.ts'
import { apiPath } from '../../remote/admin-client.ts'
import { change, create, lists, readToDestroy, shows } from '../../remote/requests.ts'
import type { Noun } from '../../verb.ts'
import {
  readSecrets,
  SECRET_OPTIONS,
  SETTING_FIELDS,
  SETTING_OPTIONS,
  settingsOf,
} from './upstream-settings.ts'

/** Formats the latest check of an upstream: `ok 3 minutes ago`, `failed 3 minutes ago`, or `-` without one. */
const formatShortCheck: Format = (upstream, terminal) => {
  const { lastCheck } = upstream as Answer<'upstreams/:name'>
  if (lastCheck === undefined) return '-'
  return `${lastCheck.reachable ? 'ok' : 'failed'} ${formatTime(lastCheck.at, terminal)}`
}

/** Formats a check with its time and, if it failed, the reason. */
const formatCheck: Format = (check, terminal) => {
  const { at, reachable, message } = check as NonNullable<Answer<'upstreams/:name'>['lastCheck']>
  return `${reachable ? 'ok' : 'failed'} ${formatRelativeTime(at, terminal)}${reachable ? '' : `: ${sanitize(message)}`}`
}

/** `cay upstream` */
export const upstreams: Noun = {
  summary: 'Manage upstreams, the registries whose content is cached',
  verbs: {
    list: lists(
      'List upstreams',
      '/upstreams',
      'There are no upstreams: use cay upstream create docker.io, or [[upstream]] in cay.toml.',
      [
        field('name', 'name'),
        field('state', 'state'),
        field('url', 'url'),
        field('pulls left', 'pullsRemaining'),
        field('last check', '', formatShortCheck),
        field('configured in', 'configuredIn'),
      ],
    ),
    show: shows(
      '<upstream>',
      'Show an upstream, without its credentials',
      (name) => apiPath('upstreams', name),
      [
        field('Name', 'name'),
        field('State', 'state'),
        field('URL', 'url'),
        field('Mirrors', 'mirrors'),
        field('Credentials', 'credentialsSet', (value) => (value === true ? 'set' : 'none')),
        field('Last check', 'lastCheck', formatCheck),
        field('Configured in', 'configuredIn'),
        ...SETTING_FIELDS,
        field('Pulls left', 'pullsRemaining', 'count'),
        field('Pull limit', 'pullLimit', 'count'),
      ],
    ),
    create: {
      usage: '<name>',
      summary: 'Create an upstream',
      options: [...SETTING_OPTIONS, ...SECRET_OPTIONS],
      run: async ({ client, args: [name = ''], options }) =>
        create(client, `created upstream ${name}`, apiPath('upstreams', name), {
          ...(await settingsOf(options)),
          ...(await readSecrets(name, options)),
        }),
    },
    set: {
      usage: '<upstream>',
      summary: 'Change the settings of an upstream that was created with the API',
      options: [...SETTING_OPTIONS, ...SECRET_OPTIONS],
      run: async ({ client, args: [name = ''], options }) => {
        const path = apiPath('upstreams', name)
        const { value, ifSame } = await readToDestroy<Answer<'upstreams/:name'>>(client, path)
        const changes = { ...(await settingsOf(options)), ...(await readSecrets(name, options)) }
        if (Object.keys(changes).length === 0)
          throw new CommandError(
            'name at least one setting to change: see cay upstream set --help',
            EXIT.usage,
          )
        return change(
          client,
          `changed upstream ${name}`,
          'PUT',
          path,
          { ...value.settings, ...changes },
          ifSame,
        )
      },
    },
    delete: {
      usage: '<upstream>',
      summary: 'Delete an upstream; its repositories stay, and are served as local ones',
      isDestructive: true,
      run: async ({ client, args: [name = ''], confirm }) => {
        const path = apiPath('upstreams', name)
        const { ifSame } = await readToDestroy(client, path)
        await confirm(`deletes the upstream ${name}; its repositories stay, and are no longer updated`)
        return change(client, `deleted upstream ${name}`, 'DELETE', path, undefined, ifSame)
      },
    },
    check: {
      usage: '<upstream>',
      summary: 'Check whether an upstream is reachable and accepts the credentials',
      run: async ({ client, args: [name = ''] }) => {
        const path = `${apiPath('upstreams', name)}/check`
        const value = await client.request<Answer<'upstreams/:name/check', 'post'>>('POST', path)
        const { reachable, durationMilliseconds, message } = value
        if (!reachable) throw new CommandError(`${name} cannot be used: ${message}`, EXIT.failed)
        return { value, line: `${message} (${durationMilliseconds} ms)` }
      },
    },
  },
}
