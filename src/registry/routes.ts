import type { Action } from '../access/access.ts'
import type { TableRow } from '../http/route-table.ts'
import { type Exchange, getBase, type PathKind } from './exchange.ts'
import {
  deleteBlob,
  deleteManifest,
  deleteUpload,
  getBlob,
  getManifest,
  getUpload,
  listReferrers,
  listRepositories,
  listTags,
  patchUpload,
  postUpload,
  putManifest,
  putUpload,
} from './handlers.ts'

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** The access that a row needs: an action on the path's repository, an identity, or the catalog. */
export type RouteAccess = Action | 'base' | 'catalog'

export interface Route<K extends PathKind = PathKind> extends TableRow {
  methods: Method[]
  path: K
  access: RouteAccess
  handle: (exchange: Exchange<K>) => Response | Promise<Response>
}

type Row = { [K in PathKind]: Route<K> }[PathKind]

const UNKNOWN = 'Repository or content not found.'
const MALFORMED = 'A part of the request is invalid; the message says which.'

/** Every endpoint of the distribution-spec, in the order of its table of endpoints. Start reading here. */
export function routes(): readonly Row[] {
  return [
    {
      id: 'v2GetBase',
      methods: ['GET', 'HEAD'],
      path: 'base',
      access: 'base',
      handle: getBase,
      summary: 'Check that this is a registry',
      answers: { 200: 'OK.' },
    },
    {
      id: 'v2GetBlob',
      methods: ['GET', 'HEAD'],
      path: 'blob',
      access: 'pull',
      handle: getBlob,
      summary: 'Pull a blob',
      answers: {
        200: 'The blob.',
        206: 'The requested range.',
        304: 'Not modified.',
        404: UNKNOWN,
        416: 'The range is outside the blob.',
      },
    },
    {
      id: 'v2GetManifest',
      methods: ['GET', 'HEAD'],
      path: 'manifest',
      access: 'pull',
      handle: getManifest(),
      summary: 'Pull a manifest',
      answers: {
        200: 'The manifest; by tag, in a format that Accept lists if possible.',
        304: 'Not modified.',
        404: UNKNOWN,
      },
    },
    {
      id: 'v2StartUpload',
      methods: ['POST'],
      path: 'uploads',
      access: 'push',
      handle: postUpload,
      summary: 'Start an upload, push a whole blob (digest), or mount a blob (mount, from)',
      answers: {
        201: 'The blob is in the repository.',
        202: 'The upload has started at Location.',
        400: MALFORMED,
      },
    },
    {
      id: 'v2AppendUpload',
      methods: ['PATCH'],
      path: 'upload',
      access: 'push',
      handle: patchUpload,
      summary: 'Append a chunk to an upload',
      answers: {
        202: 'The chunk is appended.',
        404: 'Upload not found.',
        416: 'The chunk does not start at the end of the upload.',
      },
    },
    {
      id: 'v2CompleteUpload',
      methods: ['PUT'],
      path: 'upload',
      access: 'push',
      handle: putUpload,
      summary: 'Complete an upload with its digest',
      answers: {
        201: 'The blob is stored.',
        400: 'The content does not match the digest.',
        404: 'Upload not found.',
        416: 'The chunk does not start at the end of the upload.',
      },
    },
    {
      id: 'v2PutManifest',
      methods: ['PUT'],
      path: 'manifest',
      access: 'push',
      handle: putManifest,
      summary: 'Push a manifest',
      answers: {
        201: 'The manifest is stored.',
        400: 'The manifest is invalid, or references content that is not in the repository.',
        412: 'The tag does not meet the precondition.',
        413: 'The manifest is too large.',
        414: 'Too many tags.',
      },
    },
    {
      id: 'v2ListTags',
      methods: ['GET', 'HEAD'],
      path: 'tags',
      access: 'pull',
      handle: listTags,
      summary: 'List tags',
      answers: { 200: 'The tags, in byte order.', 400: MALFORMED, 404: 'Repository not found.' },
    },
    {
      id: 'v2DeleteManifest',
      methods: ['DELETE'],
      path: 'manifest',
      access: 'delete',
      handle: deleteManifest,
      summary: 'Delete a manifest with its tags, or one tag',
      answers: {
        202: 'The manifest or tag is deleted.',
        404: UNKNOWN,
        412: 'The tag does not meet the precondition.',
      },
    },
    {
      id: 'v2DeleteBlob',
      methods: ['DELETE'],
      path: 'blob',
      access: 'delete',
      handle: deleteBlob,
      summary: 'Delete a blob',
      answers: { 202: 'The blob is deleted.', 404: UNKNOWN, 405: 'A manifest references the blob.' },
    },
    {
      id: 'v2ListReferrers',
      methods: ['GET', 'HEAD'],
      path: 'referrers',
      access: 'pull',
      handle: listReferrers,
      summary: 'List the referrers of a manifest',
      answers: { 200: 'An image index of the referrers.', 400: MALFORMED },
    },
    {
      id: 'v2GetUpload',
      methods: ['GET', 'HEAD'],
      path: 'upload',
      access: 'push',
      handle: getUpload,
      summary: 'Show the progress of an upload',
      answers: { 204: 'The progress is in Range.', 404: 'Upload not found.' },
    },
    {
      id: 'v2CancelUpload',
      methods: ['DELETE'],
      path: 'upload',
      access: 'push',
      handle: deleteUpload,
      summary: 'Cancel an upload',
      answers: { 204: 'The upload is canceled.', 404: 'Upload not found.' },
    },
    {
      id: 'v2ListRepositories',
      methods: ['GET', 'HEAD'],
      path: 'catalog',
      access: 'catalog',
      handle: listRepositories,
      summary: 'List repositories',
      answers: { 200: 'The repositories that you may pull from.', 400: MALFORMED },
    },
  ]
}
