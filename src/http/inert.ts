/** Headers of what somebody has pushed: whatever type it says it is, a browser shows and runs nothing of it. */
export const INERT = {
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; sandbox",
} as const
