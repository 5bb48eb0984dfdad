import { z } from 'zod';

/** Encryption as every transport with a server of its own takes it. */
export const tlsOptions = z
  .strictObject({
    caFile: z.string().optional().describe('File with the certificate authority.'),
    certFile: z.string().optional().describe('File with the client certificate.'),
    keyFile: z.string().optional().describe('File with the key of the client certificate.'),
  })
  .optional()
  .describe('Encrypts the connection, with a client certificate when given.');
