import { type AdminContext, controller, omitAbsent } from '../http/controller.ts'
import { INERT } from '../http/origin.ts'
import { mapPage } from '../http/schemas.ts'
import { parseReference } from '../oci/reference.ts'
import type { FileChange, FileEntry, FilePage, FilesPage, OpenFile } from './files.ts'
import { ROUTES } from './models.ts'

/**
 * Below /api/v1/repositories/:repository: GET /layers/:digest/files and /layers/:digest/files/content;
 * GET /manifests/:reference/files, .../files/content and .../files/changes
 */
export function files(context: AdminContext) {
  const { files } = context.content
  const send = sendFile(context)
  return controller(context, 'files', '/repositories/:repository')
    .get(
      '/layers/:digest/files',
      async ({ principal, params: { repository, digest: layer }, query }) =>
        toFiles(await files.list(principal, repository, { layer }, query)),
      ROUTES['repositories/:repository/layers/:digest/files'].get,
    )
    .get(
      '/layers/:digest/files/content',
      async ({ request, principal, params: { repository, digest: layer }, query: { path } }) =>
        send(request, await files.open(principal, repository, { layer }, path)),
      ROUTES['repositories/:repository/layers/:digest/files/content'].get,
    )
    .get(
      '/manifests/:reference/files',
      async ({ principal, params: { repository, reference }, query }) =>
        toFiles(await files.list(principal, repository, { reference }, query)),
      ROUTES['repositories/:repository/manifests/:reference/files'].get,
    )
    .get(
      '/manifests/:reference/files/content',
      async ({ request, principal, params: { repository, reference }, query: { path } }) =>
        send(request, await files.open(principal, repository, { reference }, path)),
      ROUTES['repositories/:repository/manifests/:reference/files/content'].get,
    )
    .get(
      '/manifests/:reference/files/changes',
      async ({ principal, params: { repository, reference }, query: { to, ...query } }) => {
        const second = parseReference(to)
        const { summary, ...page } = await files.changes(principal, repository, reference, second, query)
        return { ...toPage(page, toChange), ...(summary && { summary }) }
      },
      ROUTES['repositories/:repository/manifests/:reference/files/changes'].get,
    )
}

function toFiles({ problems, ...page }: FilesPage) {
  return {
    ...toPage(page, (entry) => ({
      name: entry.name,
      path: entry.path,
      ...toEntry(entry),
      opaque: entry.isOpaque,
    })),
    problems,
  }
}

function toPage<T, U>({ items, next, indexing }: FilePage<T>, toItem: (item: T) => U) {
  const page = mapPage(next === undefined ? { items } : { items, next }, toItem)
  return indexing === undefined ? page : { ...page, indexing: omitAbsent(indexing) }
}

function toEntry(entry: Omit<FileEntry, 'name' | 'path'>) {
  const { kind, size, mode, uid, gid, modifiedAt, link, hash, layer } = entry
  return omitAbsent({
    kind,
    bytes: size,
    mode: mode?.toString(8).padStart(4, '0'),
    uid,
    gid,
    modifiedAt,
    target: link,
    digest: hash && `sha256:${hash}`,
    layer,
  })
}

function toChange({ path, change, differs, from, to }: FileChange) {
  return omitAbsent({ path, change, differs, from: from && toEntry(from), to: to && toEntry(to) })
}

/** Returns what sends a file as an attachment that a browser never runs. Its length is not sent: Bun sends it chunked. */
function sendFile({ streamOf }: Pick<AdminContext, 'streamOf'>) {
  return async (request: Request, file: OpenFile): Promise<Response> => {
    const headers = {
      ...INERT,
      'content-type': 'application/octet-stream',
      'content-disposition': `attachment; filename="file"; filename*=UTF-8''${fileName(file.name)}`,
      'cache-control': 'private, no-cache',
    }
    // For a HEAD, Elysia would read the stream to its end.
    return new Response(request.method === 'HEAD' ? null : streamOf(await file.start()), { headers })
  }
}

/** Encodes a name for a header (RFC 8187), without characters that could disguise the name. */
function fileName(name: string): string {
  const harmless = name.replace(/[\p{C}\p{Zl}\p{Zp}/\\]/gu, '_')
  return encodeURIComponent(harmless).replace(/['()*]/g, (one) => `%${one.charCodeAt(0).toString(16)}`)
}
