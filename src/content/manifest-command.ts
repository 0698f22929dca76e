import type { Card } from '../cli/answer.ts'
import { type AdminClient, apiPath, type Page, withQuery } from '../cli/client.ts'
import { CommandError, EXIT } from '../cli/failure.ts'
import { formatReference, isDigest, type Named, parseReferences, resolve, wholeDigest } from '../cli/input.ts'
import { type Field, field, formatText } from '../cli/output.ts'
import { type Call, change, type Noun, plural, readToDestroy } from '../cli/verb.ts'
import { purgeRepository } from '../garbage/command.ts'
import { wayBack } from '../history/command.ts'
import type { AnswerOf } from '../http/operation.ts'
import type { ContentRoutes } from './models.ts'

const COLUMNS: readonly Field[] = [
  field('digest', 'digest'),
  field('kind', 'kind'),
  field('manifest size', 'bytes', 'bytes'),
  field('tags', 'tags', 'tags'),
  field('pushed', 'pushedAt', 'time'),
]

const DELETED_COLUMNS: readonly Field[] = [
  ...COLUMNS,
  field('deleted', 'deletedAt', 'time'),
  field('restorable until', 'restorableUntil', 'time'),
]

/** Columns of labels and of annotations. */
const WORDS: readonly Field[] = [field('name', '0'), field('value', '1')]

/** One manifest: `app:1.0`, `app@sha256:...`, or the repository and the reference as two words. */
const ONE_MANIFEST = { usage: '<repository> [reference]', shown: 'REFERENCE' }

/** How many manifests one command purges at most. */
const PURGED_MAX = 100

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
      ...ONE_MANIFEST,
      summary: 'Show a manifest by tag or digest: its kind, platforms, layers, history and labels',
      run: manifestCard,
    },
    raw: {
      ...ONE_MANIFEST,
      summary: 'Print a manifest, byte for byte',
      run: async ({ client, args }) => ({
        raw: await client.send('GET', `${await pathOf(client, args)}/raw`),
      }),
    },
    delete: {
      ...ONE_MANIFEST,
      summary: 'Delete a manifest and its tags; they can be restored for 14 days by default',
      isDestructive: true,
      run: async ({ client, args, confirm, terminal }) => {
        const named = await resolve(client, parseReferences(args)[0])
        const path = manifestPath(named)
        const { value, ifSame } = await readToDestroy<Manifest>(client, path)
        const { digest, kind, tags } = value
        const names = tags.length === 0 ? '' : ` (${tags.join(', ')})`
        const back = await wayBack(client, terminal, 'cay manifest restore')
        const many = plural(tags.length, 'tag')
        await confirm(
          `deletes the manifest ${digest} (${kind}) from ${named.repository}, and ${many}${names}; ${back}`,
        )
        const line = `deleted ${formatReference({ ...named, reference: digest })} and ${many}`
        return change(client, line, 'DELETE', path, undefined, ifSame)
      },
    },
    restore: {
      usage: ONE_MANIFEST.usage,
      shown: 'REPOSITORY@DIGEST',
      summary: 'Restore a deleted manifest and the tags that were deleted with it',
      run: async ({ client, args }) => {
        const named = await resolve(client, parseReferences(args)[0])
        const value = await client.request<
          AnswerOf<ContentRoutes, 'repositories/:repository/manifests/:reference/restore', 'post'>
        >('POST', `${manifestPath(named)}/restore`)
        const names = value.tags.length === 0 ? '' : `: ${value.tags.join(', ')}`
        return {
          value,
          line: `restored ${formatReference(named)} and ${plural(value.tags.length, 'tag')}${names}`,
        }
      },
    },
    purge: {
      usage: '<repository> [digests...]',
      shown: 'REPOSITORY@DIGEST...',
      summary: 'Permanently delete manifests that are deleted or untagged, to free space at once',
      isDestructive: true,
      run: async (call) => {
        const named = []
        for (const one of parseReferences(call.args, { max: PURGED_MAX }))
          named.push(await resolve(call.client, one))
        const repository = named[0]?.repository ?? ''
        const digests = named.map(({ reference }) => reference)
        if (named.every((one) => one.repository === repository && isDigest(one.reference)))
          return await purgeRepository(call, repository, digests)
        throw new CommandError('name manifests of one repository by their digests', EXIT.usage)
      },
    },
    referrers: {
      ...ONE_MANIFEST,
      summary: 'Show the referrers of a manifest (signatures, SBOMs, attestations) as a tree',
      run: async ({ client, args }) => {
        const value = await client.request<
          AnswerOf<ContentRoutes, 'repositories/:repository/manifests/:reference/referrers'>
        >('GET', `${await pathOf(client, args)}/referrers`)
        const items = (value.referrers as Referrer[]).flatMap((referrer) => flatten(referrer, 0))
        return {
          value,
          lines: [field('Subject', 'digest'), field('Incomplete', 'truncated', 'yes')],
          tables: [
            {
              title: items.length === 0 ? 'There are no referrers' : 'Referrers',
              items,
              columns: [
                field('digest', 'text'),
                field('kind', 'referrer.kind'),
                field('artifact type', 'referrer.artifactType'),
                field('manifest size', 'referrer.bytes', 'bytes'),
              ],
            },
          ],
        }
      },
    },
  },
}

/** What a manifest is, and its parts. */
export type Manifest = AnswerOf<ContentRoutes, 'repositories/:repository/manifests/:reference'>

interface Referrer {
  digest: string
  referrers?: Referrer[]
}

function manifestPath({ repository, reference }: Named): string {
  return apiPath('repositories', repository, 'manifests', reference)
}

/** Returns the path of the manifest that the arguments name, which may be by a shortened digest. */
async function pathOf(client: AdminClient, args: readonly string[]): Promise<string> {
  return manifestPath(await resolve(client, parseReferences(args)[0]))
}

async function manifestCard({ client, args }: Call): Promise<Card> {
  const value = await client.request<Manifest>('GET', await pathOf(client, args))
  const { layers, manifests, history, labels, annotations } = value
  return {
    value,
    lines: [
      field('Digest', 'digest'),
      field('Kind', 'kind'),
      field('Media type', 'mediaType'),
      field('Artifact type', 'artifactType'),
      field('Platform', 'image.platform', asPlatform),
      field('Size', 'totalBytes', 'bytes'),
      field('Tags', 'tags'),
      field('Subject', 'subject'),
      field('Pushed', 'pushedAt', 'local time'),
      field('Created', 'image.createdAt', 'local time'),
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
          field('size', 'totalBytes', 'bytes'),
          field('stored', 'exists', 'yes'),
        ],
      },
      {
        title: 'Layers',
        items: layers,
        columns: [
          field('digest', 'digest', 'short digest'),
          field('size', 'bytes', 'bytes'),
          field('created by', 'createdBy', asShort),
        ],
      },
      {
        title: 'History',
        items: history,
        columns: [field('created', 'createdAt', 'time'), field('by', 'createdBy', asShort)],
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

/** `cay blob` */
export const blobs: Noun = {
  summary: 'Inspect blobs: layers, configs and other content',
  verbs: {
    show: {
      usage: '<digest>',
      summary: 'Show a blob and the repositories that use it',
      run: async ({ client, args: [digest = ''] }) => {
        const value = await client.request<Page>('GET', apiPath('blobs', await wholeDigest(client, digest)))
        const more = value.nextCursor === undefined ? '' : ' (first page)'
        return {
          value,
          lines: [
            field('Digest', 'digest'),
            field('Size', 'bytes', 'bytes'),
            field('Stored', 'storedAt', 'local time'),
          ],
          tables: [
            {
              title: `Used in${more}`,
              items: value.items,
              columns: [
                field('repository', 'repository'),
                field('since', 'linkedAt', 'time'),
                field('unreferenced since', 'unreferencedAt', 'time'),
              ],
            },
          ],
        }
      },
    },
  },
}
