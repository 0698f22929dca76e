import { createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type AdminClient, apiPath, withQuery } from '../cli/client.ts'
import { CommandError, EXIT } from '../cli/failure.ts'
import { parseReferences, resolve, wholeDigest } from '../cli/input.ts'
import { columns, formatCount, formatText, type Terminal } from '../cli/output.ts'
import type { Call, Noun, Option } from '../cli/verb.ts'
import type { AnswerOf } from '../http/operation.ts'
import type { FilesRoutes } from './models.ts'

const LAYER: Option = ['--layer <digest>', 'only this layer of the image, as it is']

/** How long a command waits before it asks again whether an index is ready, in milliseconds. */
const POLL_MS = 500

const COLUMNS = columns('mode, uid, gid, size: bytes, modifiedAt, kind, path, target, layer | short digest')

/** `cay file` */
export const files: Noun = {
  summary: 'Look into images and layers: list, find, get and compare their files',
  verbs: {
    list: {
      usage: '<repository> [path]',
      shown: 'REPOSITORY:TAG [PATH]',
      summary: 'List a directory of an image with all its layers, or of one layer',
      isList: true,
      options: [LAYER],
      run: (call) => listing(call, { path: call.args[1] }, `There are no files in /${call.args[1] ?? ''}.`),
    },
    find: {
      usage: '<repository> <text>',
      shown: 'REPOSITORY:TAG TEXT',
      summary: 'Find the files of an image whose names contain a text',
      isList: true,
      options: [LAYER, ['--below <path>', 'only below this directory']],
      run: (call) =>
        listing(call, { search: call.args[1], path: call.options.below }, 'No name contains this text.'),
    },
    get: {
      usage: '<repository> <path>',
      shown: 'REPOSITORY:TAG PATH',
      summary: 'Print a file of an image, or write it to a file with --output',
      options: [LAYER, ['--output <file>', 'where to write it [standard output]']],
      run: async (call) => {
        const { client, options, terminal, args } = call
        const base = await basePath(call)
        await waitForIndex(client, terminal, `${base}/files`)
        const response = await client.send('GET', withQuery(`${base}/files/content`, { path: args[1] }))
        if (options.output === undefined) return { bytes: response }
        await write(response, options.output)
        return { value: undefined, line: `wrote ${options.output}` }
      },
    },
    compare: {
      usage: '<repository> <to>',
      shown: 'REPOSITORY:TAG TO',
      summary: 'Compare the files of two images of a repository; TO is a tag or a digest',
      isList: true,
      run: async (call) => {
        const { client, terminal, args } = call
        const { repository } = parseReferences(args.slice(0, 1))[0]
        const to = await wholeDigest(client, args[1] ?? '', repository)
        const list = withQuery(`${await basePath(call)}/files/changes`, { to })
        const summary = await waitForIndex(client, terminal, list)
        return {
          list,
          columns: columns('change, path, differs | list, size before: from.bytes, size after: to.bytes', {
            list: asList,
          }),
          none: 'The files are the same.',
          sum: async () => sumOf(summary),
        }
      },
    },
  },
}

type Changes = AnswerOf<FilesRoutes, 'repositories/:repository/manifests/:reference/files/changes'>

async function listing(call: Call, query: Record<string, string | undefined>, none: string) {
  const { client, terminal } = call
  const list = withQuery(`${await basePath(call)}/files`, query)
  await waitForIndex(client, terminal, list)
  return { list, columns: COLUMNS, none }
}

/** Returns the path of the image, or of the layer that --layer names. */
async function basePath({ client, args, options }: Call): Promise<string> {
  const [named] = parseReferences(args.slice(0, 1))
  const { repository, reference } = await resolve(client, named)
  const { layer } = options
  return layer === undefined
    ? apiPath('repositories', repository, 'manifests', reference)
    : apiPath('repositories', repository, 'layers', await wholeDigest(client, layer, repository))
}

/** Waits until the server has made the index, and shows how far it is. Returns the summary of a comparison. */
async function waitForIndex(
  client: AdminClient,
  terminal: Terminal,
  list: string,
): Promise<Changes['summary']> {
  try {
    for (;;) {
      const { indexing, summary } = await client.request<Changes>('GET', withQuery(list, { limit: 1 }))
      if (indexing === undefined) return summary
      if (terminal.hasBar) terminal.status(`reading the layers: ${progressOf(indexing)}`)
      await Bun.sleep(POLL_MS)
    }
  } finally {
    if (terminal.hasBar) terminal.status('')
  }
}

function progressOf({ done, total }: NonNullable<Changes['indexing']>): string {
  return total === undefined
    ? `${formatCount(done)} files`
    : `${Math.floor((100 * done) / Math.max(total, 1))} %`
}

async function write(response: Response, path: string): Promise<void> {
  try {
    const body = Readable.fromWeb(response.body as never)
    await pipeline(body, createWriteStream(path))
  } catch (cause) {
    throw new CommandError(`cannot write ${path}: ${(cause as Error).message}`, EXIT.failed, { cause })
  }
}

function asList(value: unknown): string {
  return Array.isArray(value) ? value.map(formatText).join(', ') : ''
}

function sumOf(summary: Changes['summary']): string {
  if (summary === undefined) return ''
  const { added, changed, removed, truncated } = summary
  const more = truncated ? '; there are more, which are not listed' : ''
  return `${formatCount(added)} added, ${formatCount(changed)} changed, ${formatCount(removed)} removed${more}`
}
