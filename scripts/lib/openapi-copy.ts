import { join } from 'node:path'

/** The committed copy of the OpenAPI document, which shows a change of the API in a review. */
export const OPENAPI_COPY = join(import.meta.dir, '../../docs/openapi.json')

/** Formats the OpenAPI document of a running server as the copy has it: without the version, which each release changes. */
export async function formatDocument(address: string): Promise<string> {
  const document = (await (await fetch(`http://${address}/swagger/json`)).json()) as { info: object }
  const copy = { ...document, info: { ...document.info, version: 'v1' } }
  return `${JSON.stringify(copy, null, 2)}\n`
}
