import { Type } from '@sinclair/typebox'
import { boolean, integer, TiB, table } from './setting.ts'

/** The settings of the cache of other registries. */
export const CACHE_SETTINGS = table({
  bytesMax: integer(0, 1024 * TiB, 0, 'The most bytes of cached content; 0: no limit but the disk'),
  freeBytesMin: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 1024 * TiB,
      description: 'Bytes of the volume that the cache leaves free [10 %, at most 10 GiB]',
    }),
  ),
  freshSeconds: integer(0, 31_536_000, 300, 'How long a cached tag is served without a check, in seconds'),
  staleWhileRevalidateSeconds: integer(
    0,
    31_536_000,
    300,
    'How long after that it is served while it is checked in the background, in seconds',
  ),
  deadlineMilliseconds: integer(
    1,
    60_000,
    3000,
    'How long a client waits for a check before it gets the cached copy, in milliseconds',
  ),
  connectSecondsMax: integer(
    1,
    60,
    5,
    'How long connecting to an upstream can take before its next mirror is asked, in seconds',
  ),
  firstByteSecondsMax: integer(
    1,
    60,
    20,
    'How long a client waits for an upstream if there is no cached copy, in seconds',
  ),
  stallSecondsMax: integer(
    1,
    240,
    15,
    'How long an upstream can send nothing; the download of a blob is then resumed, in seconds',
  ),
  manifestSecondsMax: integer(
    1,
    600,
    60,
    'How long the whole body of a manifest, a list or a token can take, in seconds',
  ),
  totalSecondsMax: integer(
    1,
    604_800,
    21_600,
    'How long the download of one blob can take in all; the next pull resumes it, in seconds',
  ),
  fillsMax: integer(1, 200, 64, 'The most blobs that are fetched at the same time'),
  offline: boolean(false, 'Serve only cached content, and never connect to upstreams'),
})
