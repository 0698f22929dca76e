import type { TableRow } from '../route-table.ts'
import { ping, refuse } from './base.ts'
import type { V1Exchange } from './exchange.ts'
import { getAncestry, getJson, getLayer } from './images.ts'
import type { V1PathKind } from './path.ts'
import { getTag, listImages, listTags } from './repositories.ts'
import { search } from './search.ts'
import { getUser, postUser, putUser } from './users.ts'

export type V1Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE'

/**
 * Who may call a row. `pull`: anyone who can pull from the repository in the path, or from the one of its image;
 * `catalog`: any account, or anyone who can pull from at least one repository; `account`: any account; `self`: the account
 * in the path, with a credential that has no scope of its own; `anybody`.
 */
export type V1Access = 'pull' | 'catalog' | 'account' | 'self' | 'anybody'

export interface V1Route<K extends V1PathKind = V1PathKind> extends TableRow {
  methods: V1Method[]
  path: K
  access: V1Access
  handle: (exchange: V1Exchange<K>) => Response | Promise<Response>
}

type Row = { [K in V1PathKind]: V1Route<K> }[V1PathKind]

const UNKNOWN = 'Not found, or not available through V1; the message says why.'
const PUSH = 'V1 does not support pushes: push with Docker 1.6 or newer.'

/** Every endpoint of Docker's V1 API, "index" and "registry" together. */
export const V1_ROUTES: readonly Row[] = [
  {
    id: 'v1Ping',
    methods: ['GET'],
    path: 'ping',
    access: 'anybody',
    handle: ping,
    summary: 'Check that this registry supports V1',
    answers: { 200: 'OK.' },
  },
  {
    id: 'v1InternalPing',
    methods: ['GET'],
    path: 'internalPing',
    access: 'anybody',
    handle: ping,
    summary: 'Check that this registry supports V1',
    answers: { 200: 'OK.' },
  },
  {
    id: 'v1Search',
    methods: ['GET'],
    path: 'search',
    access: 'catalog',
    handle: search,
    summary: 'Search the repositories that you may pull from, by name or description',
    answers: { 200: 'A page of repositories.' },
  },
  {
    id: 'v1CheckPassword',
    methods: ['POST'],
    path: 'users',
    access: 'anybody',
    handle: postUser,
    summary: 'Check a name and password, as the first step of a login; never creates an account',
    answers: { 400: '"Username or email already exists" if the password is correct, otherwise the error.' },
  },
  {
    id: 'v1GetAccount',
    methods: ['GET'],
    path: 'users',
    access: 'account',
    handle: getUser,
    summary: 'Show the signed-in account',
    answers: { 200: 'The name of the account.' },
  },
  {
    id: 'v1PutPassword',
    methods: ['PUT'],
    path: 'user',
    access: 'self',
    handle: putUser,
    summary: 'Change the password of the signed-in account',
    answers: { 204: 'The password is changed.', 400: 'The password is missing or too short.' },
  },
  {
    id: 'v1ListImages',
    methods: ['GET'],
    path: 'images',
    access: 'pull',
    handle: listImages,
    summary: 'Start a pull: returns a token and the host of the images; the list itself is empty',
    answers: { 200: 'An empty list.', 404: UNKNOWN },
  },
  {
    id: 'v1ListTags',
    methods: ['GET'],
    path: 'tags',
    access: 'pull',
    handle: listTags,
    summary: 'List tags with their image ids',
    answers: { 200: 'The tags.', 404: UNKNOWN },
  },
  {
    id: 'v1GetTag',
    methods: ['GET'],
    path: 'tag',
    access: 'pull',
    handle: getTag,
    summary: 'Show the image id of a tag',
    answers: { 200: 'The image id.', 404: UNKNOWN },
  },
  {
    id: 'v1GetImage',
    methods: ['GET', 'HEAD'],
    path: 'json',
    access: 'pull',
    handle: getJson,
    summary: 'Show an image; X-Docker-Size is the size of its layer',
    answers: { 200: 'The image.', 404: UNKNOWN },
  },
  {
    id: 'v1ListAncestors',
    methods: ['GET', 'HEAD'],
    path: 'ancestry',
    access: 'pull',
    handle: getAncestry,
    summary: 'List the ids of an image and its ancestors',
    answers: { 200: 'The ids, base image last.', 404: UNKNOWN },
  },
  {
    id: 'v1GetLayer',
    methods: ['GET', 'HEAD'],
    path: 'layer',
    access: 'pull',
    handle: getLayer,
    summary: 'Pull the layer of an image',
    answers: {
      200: 'The layer.',
      206: 'The requested range.',
      304: 'Not modified.',
      404: UNKNOWN,
      416: 'The range is outside the layer.',
    },
  },
  ...(
    [
      ['v1PushRepository', 'repository', ['PUT', 'DELETE']],
      ['v1PushImages', 'images', ['PUT', 'DELETE']],
      ['v1PushAuth', 'auth', ['PUT']],
      ['v1PushTags', 'tags', ['DELETE']],
      ['v1PushTag', 'tag', ['PUT', 'DELETE']],
      ['v1PushImage', 'json', ['PUT']],
      ['v1PushLayer', 'layer', ['PUT']],
      ['v1PushChecksum', 'checksum', ['PUT']],
    ] as const
  ).map(
    ([id, path, methods]): Row => ({
      id,
      path,
      methods: [...methods],
      access: 'anybody',
      handle: refuse,
      summary: 'Push; always refused, as are the other requests of a push',
      answers: { 405: PUSH },
    }),
  ),
]
