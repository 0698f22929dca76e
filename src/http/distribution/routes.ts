import type { Action } from '../../domain/access.ts'
import type { TableRow } from '../route-table.ts'
import { getBase } from './base.ts'
import { deleteBlob, getBlob } from './blobs.ts'
import type { Exchange } from './exchange.ts'
import { deleteManifest, getManifest, putManifest } from './manifests.ts'
import type { PathKind } from './path.ts'
import { listReferrers } from './referrers.ts'
import { listRepositories, listTags } from './tags.ts'
import { deleteUpload, getUpload, patchUpload, postUpload, putUpload } from './uploads.ts'

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** What a row asks for: an action on the path's repository, to be somebody, or to see any repository. */
export type RouteAccess = Action | 'base' | 'catalog'

export interface Route<K extends PathKind = PathKind> extends TableRow {
  methods: Method[]
  path: K
  access: RouteAccess
  handle: (exchange: Exchange<K>) => Response | Promise<Response>
}

type Row = { [K in PathKind]: Route<K> }[PathKind]

const UNKNOWN = 'The repository has no such content, or there is no such repository.'
const MALFORMED = 'A part of the request is malformed; the message says which.'

/** Every endpoint of the distribution-spec, by its number there. Newcomers: begin here. */
export function routes(): readonly Row[] {
  return [
    {
      id: 'end-1',
      methods: ['GET', 'HEAD'],
      path: 'base',
      access: 'base',
      handle: getBase,
      summary: 'Check that this is a registry',
      answers: { 200: 'It is.' },
    },
    {
      id: 'end-2',
      methods: ['GET', 'HEAD'],
      path: 'blob',
      access: 'pull',
      handle: getBlob,
      summary: 'Pull a blob',
      answers: {
        200: 'The blob.',
        206: 'A range of it.',
        304: 'The client has it.',
        404: UNKNOWN,
        416: 'The range is not within the blob.',
      },
    },
    {
      id: 'end-3',
      methods: ['GET', 'HEAD'],
      path: 'manifest',
      access: 'pull',
      handle: getManifest(),
      summary: 'Pull a manifest',
      answers: {
        200: 'The manifest; by tag in a format that Accept names, where there is one.',
        304: 'The client has it.',
        404: UNKNOWN,
      },
    },
    {
      id: 'end-4',
      methods: ['POST'],
      path: 'uploads',
      access: 'push',
      handle: postUpload,
      summary: 'Start an upload, push a whole blob (digest), or mount one (mount, from)',
      answers: { 201: 'The blob is in the repository.', 202: 'The upload is at Location.', 400: MALFORMED },
    },
    {
      id: 'end-5',
      methods: ['PATCH'],
      path: 'upload',
      access: 'push',
      handle: patchUpload,
      summary: 'Append a chunk to an upload',
      answers: {
        202: 'The chunk is appended.',
        404: 'There is no such upload.',
        416: 'The chunk does not begin where the upload ends.',
      },
    },
    {
      id: 'end-6',
      methods: ['PUT'],
      path: 'upload',
      access: 'push',
      handle: putUpload,
      summary: 'Close an upload with its digest',
      answers: {
        201: 'The blob is stored.',
        400: 'The content has another digest.',
        404: 'There is no such upload.',
        416: 'The chunk does not begin where the upload ends.',
      },
    },
    {
      id: 'end-7',
      methods: ['PUT'],
      path: 'manifest',
      access: 'push',
      handle: putManifest,
      summary: 'Push a manifest',
      answers: {
        201: 'The manifest is stored.',
        400: 'The manifest is malformed, or names content that is not here.',
        412: 'The tag is not where the condition expects it.',
        413: 'The manifest is too large.',
        414: 'Too many tags.',
      },
    },
    {
      id: 'end-8',
      methods: ['GET', 'HEAD'],
      path: 'tags',
      access: 'pull',
      handle: listTags,
      summary: 'List tags',
      answers: { 200: 'The tags, in byte order.', 400: MALFORMED, 404: 'There is no such repository.' },
    },
    {
      id: 'end-9',
      methods: ['DELETE'],
      path: 'manifest',
      access: 'delete',
      handle: deleteManifest,
      summary: 'Delete a manifest with its tags, or one tag',
      answers: { 202: 'It is deleted.', 404: UNKNOWN, 412: 'The tag is not where the condition expects it.' },
    },
    {
      id: 'end-10',
      methods: ['DELETE'],
      path: 'blob',
      access: 'delete',
      handle: deleteBlob,
      summary: 'Delete a blob',
      answers: { 202: 'It is deleted.', 404: UNKNOWN, 405: 'A manifest names the blob.' },
    },
    {
      id: 'end-12',
      methods: ['GET', 'HEAD'],
      path: 'referrers',
      access: 'pull',
      handle: listReferrers,
      summary: 'List the manifests that have this subject',
      answers: { 200: 'An image index of them.', 400: MALFORMED },
    },
    {
      id: 'end-13',
      methods: ['GET', 'HEAD'],
      path: 'upload',
      access: 'push',
      handle: getUpload,
      summary: 'Ask how much of an upload is here',
      answers: { 204: 'Range says it.', 404: 'There is no such upload.' },
    },
    {
      id: 'end-14',
      methods: ['DELETE'],
      path: 'upload',
      access: 'push',
      handle: deleteUpload,
      summary: 'Cancel an upload',
      answers: { 204: 'It is gone.', 404: 'There is no such upload.' },
    },
    {
      id: 'catalog',
      methods: ['GET', 'HEAD'],
      path: 'catalog',
      access: 'catalog',
      handle: listRepositories,
      summary: 'List repositories',
      answers: { 200: 'The repositories that you may pull from.', 400: MALFORMED },
    },
  ]
}
