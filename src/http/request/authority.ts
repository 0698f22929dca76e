import { Elysia, t } from 'elysia'
import type { Authority } from '../../domain/server-certificate.ts'

const CERTIFICATE = t.String({ format: 'binary', description: 'The certificate' })

const detail = (operationId: string, summary: string, mediaType: string) => ({
  operationId,
  summary,
  security: [{}],
  'x-media-type': mediaType,
})

/** Serves the certificate of this server's authority, so that hosts can trust it. Needs no credential. */
export function authorityFiles({ certificate }: Authority) {
  const der = Buffer.from(certificate.replaceAll(/-----.*-----|\s/g, ''), 'base64')
  const file = (bytes: Uint8Array<ArrayBuffer> | string, type: string) =>
    new Response(bytes, { headers: { 'content-type': type } })
  return new Elysia({ name: 'authority', tags: ['authority'] })
    .get('/rootCA.pem', () => file(certificate, 'application/x-pem-file'), {
      response: { 200: CERTIFICATE },
      detail: detail('rootCA', 'The authority, as PEM', 'application/x-pem-file'),
    })
    .get('/ca.crt', () => file(der, 'application/pkix-cert'), {
      response: { 200: CERTIFICATE },
      detail: detail('caCrt', 'The authority, as DER', 'application/pkix-cert'),
    })
}
