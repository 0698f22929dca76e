import type { Card } from '../cli/answer.ts'
import { apiPath, type Page, withQuery } from '../cli/client.ts'
import { usageError } from '../cli/failure.ts'
import { formatReference, isDigest, type Named, parseReferences, resolve, wholeDigest } from '../cli/input.ts'
import { columns, type Format, formatText, lines } from '../cli/output.ts'
import { type Call, change, type Noun, plural, readToDestroy } from '../cli/verb.ts'
import { purgeRepository } from '../garbage/command.ts'
import { wayBack } from '../history/command.ts'
import type { AnswerOf } from '../http/operation.ts'
import type { ContentRoutes } from './models.ts'

const COLUMNS = 'digest, kind, manifest size: bytes, tags | tags, pushedAt'

const LISTED = columns(COLUMNS)
const DELETED = columns(`${COLUMNS}, deletedAt, restorableUntil | time`)

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
        columns: deleted === 'true' ? DELETED : LISTED,
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
      run: async (call) => ({ bytes: await call.client.send('GET', `${await pathOf(call)}/raw`) }),
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
        const value = await client.request<Restored>('POST', `${manifestPath(named)}/restore`)
        const names = value.tags.length === 0 ? '' : `: ${value.tags.join(', ')}`
        const line = `restored ${formatReference(named)} and ${plural(value.tags.length, 'tag')}${names}`
        return { value, line }
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
        throw usageError('name manifests of one repository by their digests')
      },
    },
    referrers: {
      ...ONE_MANIFEST,
      summary: 'Show the referrers of a manifest (signatures, SBOMs, attestations) as a tree',
      run: async (call) => {
        const value = await call.client.request<Referrers>('GET', `${await pathOf(call)}/referrers`)
        const items = (value.referrers as Referrer[]).flatMap((referrer) => flatten(referrer, 0))
        const title = items.length === 0 ? 'There are no referrers' : 'Referrers'
        return {
          value,
          lines: lines('Subject: digest, Incomplete: truncated | yes'),
          tables: [{ title, items, columns: REFERRERS }],
        }
      },
    },
  },
}

const REFERRERS = columns('digest: text, referrer.kind, referrer.artifactType, manifest size: referrer.bytes')

/** What a manifest is, and its parts. */
export type Manifest = AnswerOf<ContentRoutes, 'repositories/:repository/manifests/:reference'>

type Restored = AnswerOf<ContentRoutes, 'repositories/:repository/manifests/:reference/restore', 'post'>
type Referrers = AnswerOf<ContentRoutes, 'repositories/:repository/manifests/:reference/referrers'>

interface Referrer {
  digest: string
  referrers?: Referrer[]
}

function manifestPath({ repository, reference }: Named): string {
  return apiPath('repositories', repository, 'manifests', reference)
}

/** Returns the path of the manifest that the arguments name, which may be by a shortened digest. */
async function pathOf({ client, args }: Call): Promise<string> {
  return manifestPath(await resolve(client, parseReferences(args)[0]))
}

async function manifestCard(call: Call): Promise<Card> {
  const value = await call.client.request<Manifest>('GET', await pathOf(call))
  const table = (title: string, items: readonly unknown[], text: string) => ({
    title,
    items,
    columns: columns(text, FORMATS),
  })
  return {
    value,
    lines: lines(
      `digest, kind, mediaType, artifactType, image.platform | platform, Size: totalBytes, tags, subject, pushedAt,
      image.createdAt, image.author, image.user, image.entrypoint | words, image.command | words`,
      FORMATS,
    ),
    tables: [
      table(
        'Manifests',
        value.manifests,
        'platform | platform, digest, kind, size: totalBytes, stored: exists | yes',
      ),
      table('Layers', value.layers, 'digest | short digest, size: bytes, createdBy | short'),
      table('History', value.history, 'createdAt, by: createdBy | short'),
      table('Labels', Object.entries(value.labels), 'name: 0, value: 1'),
      table('Annotations', Object.entries(value.annotations), 'name: 0, value: 1'),
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

const SHORT_CHARACTERS = 80

const FORMATS: Readonly<Record<string, Format>> = {
  platform: asPlatform,
  words: (value) => (JSON.stringify(value) === '[]' ? '' : formatText(JSON.stringify(value))),
  /** Shortens a command, which can be as long as a script. */
  short: (value) => {
    const text = formatText(value)
    return text.length > SHORT_CHARACTERS ? `${text.slice(0, SHORT_CHARACTERS)}…` : text
  },
}

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
        const table = {
          title: `Used in${more}`,
          items: value.items,
          columns: columns('repository, since: linkedAt, unreferenced since: unreferencedAt'),
        }
        return { value, lines: lines('digest, Size: bytes, storedAt'), tables: [table] }
      },
    },
  },
}
