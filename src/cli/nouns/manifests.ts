import { type AdminClient, apiPath, withQuery } from '../admin-client.ts'
import type { Card } from '../output/answer.ts'
import {
  type Field,
  field,
  formatBytes,
  formatRelativeTime,
  formatShortDigest,
  formatTags,
  formatText,
  formatTime,
  formatYes,
} from '../output/format.ts'
import { change, plural, readToDestroy } from '../requests.ts'
import { wayBack } from '../time-machine.ts'
import type { Noun } from '../verb.ts'

const COLUMNS: readonly Field[] = [
  field('digest', 'digest'),
  field('kind', 'kind'),
  field('manifest size', 'bytes', formatBytes),
  field('tags', 'tags', formatTags),
  field('pushed', 'pushedAt', formatTime),
]

const DELETED_COLUMNS: readonly Field[] = [
  ...COLUMNS,
  field('deleted', 'deletedAt', formatTime),
  field('restorable until', 'restorableUntil', formatTime),
]

/** Columns of labels and of annotations. */
const WORDS: readonly Field[] = [field('name', '0'), field('value', '1')]

/** `cay manifest` */
export const manifests: Noun = {
  summary: 'Manage manifests: images, indexes, charts and other artifacts',
  verbs: {
    list: {
      usage: '<repository>',
      summary: 'List the manifests of a repository, newest first; with --deleted, those that can be restored',
      isList: true,
      options: [['--deleted', 'list deleted manifests that can be restored']],
      run: ({ args: [repository = ''], options: { deleted } }) => ({
        list: withQuery(`${apiPath('repositories', repository)}/manifests`, { deleted }),
        columns: deleted === 'true' ? DELETED_COLUMNS : COLUMNS,
        none: `There are no manifests in ${repository}.`,
      }),
    },
    show: {
      usage: '<repository> <reference>',
      summary: 'Show a manifest by tag or digest: its kind, platforms, layers, history and labels',
      run: ({ client, args: [repository = '', reference = ''] }) =>
        manifestCard(client, repository, reference),
    },
    raw: {
      usage: '<repository> <reference>',
      summary: 'Print a manifest, byte for byte',
      run: async ({ client, args: [repository = '', reference = ''] }) => ({
        raw: await client.send('GET', `${manifestPath(repository, reference)}/raw`),
      }),
    },
    delete: {
      usage: '<repository> <digest>',
      summary: 'Delete a manifest and its tags; they can be restored for 14 days by default',
      isDestructive: true,
      run: async ({ client, args: [repository = '', reference = ''], confirm, terminal }) => {
        const path = manifestPath(repository, reference)
        const { value, ifSame } = await readToDestroy<Manifest>(client, path)
        const { digest, kind, tags } = value
        const names = tags.length === 0 ? '' : ` (${tags.join(', ')})`
        const back = await wayBack(client, terminal, 'cay manifest restore')
        await confirm(
          `deletes the manifest ${digest} (${kind}) from ${repository}, and ${plural(tags.length, 'tag')}${names}; ${back}`,
        )
        return change(client, 'DELETE', path, undefined, ifSame)
      },
    },
    restore: {
      usage: '<repository> <digest>',
      summary: 'Restore a deleted manifest and the tags that were deleted with it',
      run: async ({ client, args: [repository = '', digest = ''] }) => ({
        value: await client.request('POST', `${manifestPath(repository, digest)}/restore`),
        lines: [field('Restored', '', () => digest), field('Tags', 'tags')],
      }),
    },
    referrers: {
      usage: '<repository> <reference>',
      summary: 'Show the referrers of a manifest (signatures, SBOMs, attestations) as a tree',
      run: async ({ client, args: [repository = '', reference = ''] }) => {
        const value = await client.request<Referrers>(
          'GET',
          `${manifestPath(repository, reference)}/referrers`,
        )
        const items = value.referrers.flatMap((referrer) => flatten(referrer, 0))
        return {
          value,
          lines: [field('Subject', 'digest'), field('Incomplete', 'truncated', formatYes)],
          tables: [
            {
              title: items.length === 0 ? 'There are no referrers' : 'Referrers',
              items,
              columns: [
                field('digest', 'text'),
                field('kind', 'referrer.kind'),
                field('artifact type', 'referrer.artifactType'),
                field('manifest size', 'referrer.bytes', formatBytes),
              ],
            },
          ],
        }
      },
    },
  },
}

/** The fields of a manifest's description that commands read. */
export interface Manifest {
  digest: string
  kind: string
  tags: string[]
  totalBytes: number
  layers: unknown[]
  manifests: { platform?: unknown }[]
  history: unknown[]
  image?: { platform?: unknown }
  labels: object
  annotations: object
}

interface Referrers {
  referrers: Referrer[]
}

interface Referrer {
  digest: string
  referrers?: Referrer[]
}

function manifestPath(repository: string, reference: string): string {
  return apiPath('repositories', repository, 'manifests', reference)
}

function getManifest(client: AdminClient, repository: string, reference: string): Promise<Manifest> {
  return client.request('GET', manifestPath(repository, reference))
}

async function manifestCard(client: AdminClient, repository: string, reference: string): Promise<Card> {
  const value = await getManifest(client, repository, reference)
  const { layers, manifests, history, labels, annotations } = value
  return {
    value,
    lines: [
      field('Digest', 'digest'),
      field('Kind', 'kind'),
      field('Media type', 'mediaType'),
      field('Artifact type', 'artifactType'),
      field('Platform', 'image.platform', asPlatform),
      field('Size', 'totalBytes', formatBytes),
      field('Tags', 'tags'),
      field('Subject', 'subject'),
      field('Pushed', 'pushedAt', formatRelativeTime),
      field('Created', 'image.createdAt', formatRelativeTime),
      field('Author', 'image.author'),
      field('User', 'image.user'),
      field('Entrypoint', 'image.entrypoint', asWords),
      field('Command', 'image.command', asWords),
    ],
    tables: [
      {
        title: 'Manifests',
        items: manifests,
        columns: [
          field('platform', 'platform', asPlatform),
          field('digest', 'digest'),
          field('kind', 'kind'),
          field('size', 'totalBytes', formatBytes),
          field('stored', 'exists', formatYes),
        ],
      },
      {
        title: 'Layers',
        items: layers,
        columns: [
          field('digest', 'digest', formatShortDigest),
          field('size', 'bytes', formatBytes),
          field('created by', 'createdBy', asShort),
        ],
      },
      {
        title: 'History',
        items: history,
        columns: [field('created', 'createdAt', formatTime), field('by', 'createdBy', asShort)],
      },
      { title: 'Labels', items: Object.entries(labels), columns: WORDS },
      { title: 'Annotations', items: Object.entries(annotations), columns: WORDS },
    ],
  }
}

/** Returns the platforms of an image, or of the images of an index, without duplicates. */
export function platformsOf({ image, manifests }: Manifest): string[] {
  const all = [image?.platform, ...manifests.map(({ platform }) => platform)]
  return [...new Set(all.filter((platform) => platform !== undefined).map(asPlatform))]
}

/** `linux/arm64/v8` */
function asPlatform(value: unknown): string {
  if (typeof value !== 'object' || value === null) return formatText(value)
  const { os, architecture, variant } = value as Record<string, unknown>
  return [os, architecture, variant]
    .filter((part) => part !== undefined)
    .map(formatText)
    .join('/')
}

function asWords(value: unknown): string {
  return JSON.stringify(value) === '[]' ? '' : formatText(JSON.stringify(value))
}

/** Shortens a command, which can be as long as a script. */
function asShort(value: unknown): string {
  const text = formatText(value)
  return text.length > SHORT_CHARACTERS ? `${text.slice(0, SHORT_CHARACTERS)}…` : text
}

const SHORT_CHARACTERS = 80

/** Returns a tree as rows; each is indented further than its subject. */
function flatten(referrer: Referrer, depth: number): { text: string; referrer: Referrer }[] {
  const { digest, referrers = [] } = referrer
  return [
    { text: `${'  '.repeat(depth)}${digest}`, referrer },
    ...referrers.flatMap((one) => flatten(one, depth + 1)),
  ]
}
