import { Elysia } from 'elysia'
import type { Authority } from '../tls/authority.ts'

/** The authority of this server's certificate, for hosts that are to trust it: it answers without a credential. */
export function authorityFiles({ certificate }: Authority) {
  const der = Buffer.from(certificate.replaceAll(/-----.*-----|\s/g, ''), 'base64')
  const file = (bytes: Uint8Array<ArrayBuffer> | string, type: string) =>
    new Response(bytes, { headers: { 'content-type': type } })
  return new Elysia({ name: 'authority', tags: ['authority'] })
    .get('/rootCA.pem', () => file(certificate, 'application/x-pem-file'), {
      detail: { summary: 'The authority, as PEM', operationId: 'rootCA' },
    })
    .get('/ca.crt', () => file(der, 'application/pkix-cert'), {
      detail: { summary: 'The authority, as DER', operationId: 'caCrt' },
    })
}
