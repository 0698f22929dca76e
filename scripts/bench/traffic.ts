import { join } from 'node:path'
import { sha256 } from '../lib/image.ts'
import { imageManifest, manifestMediaType } from '../lib/registry.ts'
import { type Bench, type Case, least, mebibyte, observe, type Scale } from './case.ts'
import { download, floor, publish, pushBlob, speedOf, wrk } from './load.ts'

/** How many blobs are moved at once, where many are. */
export const parallel = 64
export const registries = ['distribution', 'docker-registry']

const repository = 'bench/app'
const connections = 32
const warmUpSeconds = 0.5
const imageConnections = 8
const imageBlobBytes = [1024, 4096] as const
/** More than any of the servers can handle. */
const imagesASecondMax = 5000

/** Pulls and pushes, beside other registries, nginx and the least cost. */
export const trafficCases: Case[] = [
  smallRequests('manifest-get', 'manifest GET by tag', 'tag', 0.6),
  smallRequests('small-blob-get', 'GET of a blob of 1 KiB', 'blob', 0.45),
  downloads('download-1', 0.9, 1, (scale) => scale.bigBytes),
  downloads('download-64', 0.8, parallel, (scale) => scale.layerBytes),
  pushes('push-1', 0.9, 1, (scale) => scale.bigBytes),
  pushes('push-64', 1, parallel, (scale) => scale.layerBytes),
  {
    name: 'push-images',
    title: () => `small images pushed, ${imageConnections} at once (config, layer, manifest)`,
    beside: registries,
    goals: [least('images/s', 8, 'docker-registry')],
    prepare: preparePushImages,
  },
]

function smallRequests(name: string, what: string, part: 'tag' | 'blob', share: number): Case {
  return {
    name,
    title: () => `${what}, ${connections} connections`,
    beside: [...registries, 'nginx'],
    goals: [least('req/s', share, 'nginx')],
    prepare: async (bench) => async (contestant) => {
      const peer = await bench.start(contestant)
      const [piece] = await bench.random.pieces(1, 1024)
      const url = peer.origin + (await publish(peer, repository, piece!))[part]
      await wrk(url, { connections }, warmUpSeconds)
      const measure = async () => {
        const { perSecond, p50, p99 } = await wrk(url, { connections }, bench.scale.seconds)
        return { 'req/s': perSecond, 'p50, ms': p50, 'p99, ms': p99 }
      }
      return () => observe(peer, measure)
    },
  }
}

function downloads(name: string, share: number, count: number, sizeIn: (scale: Scale) => number): Case {
  return {
    name,
    title: (scale) => `${count} x ${sizeIn(scale) / mebibyte} MiB of blobs pulled at once`,
    beside: [...registries, 'nginx'],
    goals: [least('MB/s', share, 'nginx')],
    prepare: async (bench) => {
      const size = sizeIn(bench.scale)
      const pieces = await bench.random.pieces(count, size)
      return async (contestant) => {
        const peer = await bench.start(contestant)
        const urls: string[] = []
        for (const piece of pieces) urls.push(peer.origin + (await publish(peer, repository, piece)).blob)
        const measure = async () => ({ 'MB/s': speedOf(pieces, (await download(urls, size)).done) })
        await measure()
        return () => observe(peer, measure)
      }
    },
  }
}

/** Pushes beside the floor. Every round has new bytes. */
function pushes(name: string, share: number, count: number, sizeIn: (scale: Scale) => number): Case {
  return {
    name,
    title: (scale) => `${count} x ${sizeIn(scale) / mebibyte} MiB of blobs pushed at once`,
    beside: [...registries, 'floor'],
    goals: [least('MB/s', share, 'floor')],
    prepare: async (bench) => {
      const piecesOf = (round: number) => bench.random.pieces(count, sizeIn(bench.scale), round)
      const folder = await bench.folder()
      return async (contestant) => {
        if (contestant === 'floor')
          return async (round) => ({ 'MB/s': await floor(folder, await piecesOf(round)) })
        const peer = await bench.start(contestant)
        for (const small of await bench.random.pieces(1, 4096)) await pushBlob(peer, repository, small)
        return async (round) => {
          const pieces = await piecesOf(round)
          await Bun.$`sync`.quiet()
          return await observe(peer, async () => {
            const began = performance.now()
            await Promise.all(pieces.map((piece) => pushBlob(peer, repository, piece)))
            return { 'MB/s': speedOf(pieces, performance.now() - began) }
          })
        }
      }
    },
  }
}

/** Each image has two blobs of its number and spaces, which wrk makes; only their digests are made before. */
async function preparePushImages(bench: Bench) {
  const folder = await bench.folder()
  const blobs = imageBlobBytes.map((size) => ({ digest: '%s', size }))
  const template = new TextDecoder().decode(imageManifest(blobs[0]!, [blobs[1]!], 'a small image'))
  const count = bench.scale.seconds * imagesASecondMax
  const file = (round: number) => join(folder, `images-${round}`)
  for (let round = 0; round <= bench.rounds; round++) {
    const lines = Array.from({ length: count }, (_, i) => {
      const number = String(round * count + i)
      return [number, ...imageBlobBytes.map((size) => sha256(Buffer.from(number.padEnd(size))))].join(' ')
    })
    await Bun.write(file(round), `${lines.join('\n')}\n`)
  }
  return async (name: string) => {
    const peer = await bench.start(name)
    const push = async (round: number, seconds: number) => {
      const script = pushingImages(file(round), template)
      const load = { connections: imageConnections, threads: imageConnections, script }
      const { countedPerSecond, p50, p99 } = await wrk(peer.origin, load, seconds)
      return { 'images/s': countedPerSecond, 'p50 of requests, ms': p50, 'p99 of requests, ms': p99 }
    }
    await push(bench.rounds, 1)
    return async (round: number) => {
      await Bun.$`sync`.quiet()
      return await observe(peer, () => push(round, bench.scale.seconds))
    }
  }
}

/** A script of wrk that pushes images by five requests each, and counts them. Each thread has one connection. */
function pushingImages(file: string, template: string): string {
  return `counted = 0
local images, step, n, location = {}, 0, 1, nil
local sizes = { ${imageBlobBytes.join(', ')} }
function init()
  local at = 0
  for line in io.lines("${file}") do
    if at % ${imageConnections} == id then table.insert(images, { line:match("(%S+) (%S+) (%S+)") }) end
    at = at + 1
  end
end
function request()
  local image = images[n]
  if step == 4 then
    local type = { ["Content-Type"] = "${manifestMediaType}" }
    local body = string.format([==[${template}]==], image[2], image[3])
    return wrk.format("PUT", "/v2/${repository}/manifests/v" .. image[1], type, body)
  end
  if step % 2 == 0 then return wrk.format("POST", "/v2/${repository}/blobs/uploads/", {}, "") end
  local part = step < 2 and 1 or 2
  local path = location .. (location:find("?", 1, true) and "&" or "?") .. "digest=" .. image[part + 1]
  local body = image[1] .. string.rep(" ", sizes[part] - #image[1])
  return wrk.format("PUT", path, { ["Content-Type"] = "application/octet-stream" }, body)
end
function response(status, headers)
  for name, value in pairs(headers) do
    if name:lower() == "location" then location = value:gsub("^https?://[^/]+", "") end
  end
  step = (step + 1) % 5
  if step == 0 then counted, n = counted + 1, n + 1 end
end
`
}
