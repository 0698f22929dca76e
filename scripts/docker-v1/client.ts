import { deepEqual, equal, match, ok } from 'node:assert/strict'
import { request } from 'node:http'
import { type Answer, ask, expectStatus } from '../formats/registry-http.ts'

/** How a client authenticates after the first request of a pull. */
export type Proof = 'token' | 'cookie' | 'basic' | 'none'

export interface PulledImage {
  /** The layers as they were sent, base first. */
  layers: Buffer[]
  /** The JSON of the leaf. */
  leaf: Record<string, unknown>
  ids: string[]
}

/** A client of Docker's V1 API, after its specification and Docker 1.5. It interrupts and resumes each layer. */
export class V1Client {
  private readonly address: string
  private readonly credentials: string | undefined
  private readonly proof: Proof
  private headers: Record<string, string> = {}

  /** @param credentials `name:password` */
  constructor(address: string, credentials: string | undefined, proof: Proof) {
    this.address = address
    this.credentials = credentials
    this.proof = proof
  }

  async pull(repository: string, tag: string): Promise<PulledImage> {
    await this.ping()
    await this.begin(repository)
    const tags = await this.get(`/v1/repositories/${repository}/tags`)
    const leafId: string = JSON.parse(tags.body.toString())[tag]
    match(leafId, /^[0-9a-f]{64}$/)
    equal(JSON.parse((await this.get(`/v1/repositories/${repository}/tags/${tag}`)).body.toString()), leafId)
    const ids: string[] = JSON.parse((await this.get(`/v1/images/${leafId}/ancestry`)).body.toString())
    equal(ids[0], leafId)
    const images = await Promise.all(ids.map((id, index) => this.image(id, ids[index + 1])))
    const [leaf] = images
    ok(leaf)
    return { layers: images.map(({ layer }) => layer).reverse(), leaf: leaf.json, ids }
  }

  private async ping(): Promise<void> {
    const { headers, body } = await expectStatus(ask(this.address, 'GET', '/v1/_ping'), 200)
    equal(body.toString(), 'true')
    equal(headers['x-docker-registry-standalone'], '0')
    match(headers['x-docker-registry-version'] ?? '', /^0\.\d+\.\d+$/)
  }

  /** Requests the repository's images. The response has the token and the cookie. */
  private async begin(repository: string): Promise<void> {
    const basic = this.credentials && `Basic ${Buffer.from(this.credentials).toString('base64')}`
    const sent = { 'x-docker-token': 'true', ...(basic && { authorization: basic }) }
    const path = `/v1/repositories/${repository}/images`
    const { headers, body } = await expectStatus(ask(this.address, 'GET', path, sent), 200)
    deepEqual(JSON.parse(body.toString()), [])
    equal(headers['x-docker-endpoints'], this.address)
    const cookie = headers['set-cookie']?.split(';')[0]
    switch (this.proof) {
      case 'token':
        match(headers['x-docker-token'] ?? '', /^signature=\S+,repository="\S+",access=read$/)
        this.headers = { authorization: `Token ${headers['x-docker-token']}` }
        return
      case 'cookie':
        ok(cookie)
        this.headers = { cookie }
        return
      case 'basic':
        this.headers = { authorization: basic ?? '' }
        return
      case 'none':
        // Docker sends an empty token when it got none.
        equal(headers['x-docker-token'], undefined)
        this.headers = { authorization: 'Token ' }
    }
  }

  private async image(
    id: string,
    parent: string | undefined,
  ): Promise<{ json: Record<string, unknown>; layer: Buffer }> {
    const { headers, body } = await this.get(`/v1/images/${id}/json`)
    const json = JSON.parse(body.toString())
    equal(json.id, id)
    equal(json.parent, parent)
    ok(Number.isFinite(Date.parse(json.created)))
    const layer = await this.download(`/v1/images/${id}/layer`)
    equal(headers['x-docker-size'], String(layer.length))
    return { json, layer }
  }

  /** Interrupts the download after some bytes, and resumes it. */
  private async download(path: string): Promise<Buffer> {
    const head = await expectStatus(ask(this.address, 'HEAD', path, this.headers), 200)
    equal(head.headers['accept-ranges'], 'bytes')
    const size = Number(head.headers['content-length'])
    const begun = await this.breakOff(path, Math.floor(size / 2))
    const range = { ...this.headers, range: `bytes=${begun.length}-` }
    const rest = await expectStatus(ask(this.address, 'GET', path, range), 206)
    equal(rest.headers['content-range'], `bytes ${begun.length}-${size - 1}/${size}`)
    return Buffer.concat([begun, rest.body])
  }

  /** Reads at least this many bytes of a response, and closes the connection before its end. */
  private breakOff(path: string, bytes: number): Promise<Buffer> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
    const { hostname, port } = new URL(`http://${this.address}`)
    const sent = request({ hostname, port, path, headers: this.headers, agent: false }, (response) => {
      let read = Buffer.alloc(0)
      response.on('data', (chunk: Buffer) => {
        read = Buffer.concat([read, chunk])
        if (read.length < bytes) return
        resolve(read.subarray(0, bytes))
        sent.destroy()
      })
      response.on('end', () => reject(new Error(`${path} ended after ${read.length} bytes`)))
    })
    sent.on('error', reject)
    sent.end()
    return promise
  }

  private get(path: string): Promise<Answer> {
    return expectStatus(ask(this.address, 'GET', path, this.headers), 200)
  }
}
