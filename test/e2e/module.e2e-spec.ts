import { Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { MeshModule, ServiceMesh } from 'nestjs-mesh';
import { describe, expect, it } from 'vitest';

describe('MeshModule', () => {
  it('needs nothing but the name of the service', async () => {
    @Module({ imports: [MeshModule.forRoot({ service: { name: 'orders' } })] })
    class App {}
    const module = await Test.createTestingModule({ imports: [App] }).compile();
    const app = module.createNestApplication({ logger: false });
    await app.listen(0, '127.0.0.1');

    expect(app.get(ServiceMesh).name).toBe('orders');
    const answer = await fetch(`${await app.getUrl()}/health/ready`);
    expect([answer.status, await answer.json()]).toEqual([200, { status: 'ok', info: {}, error: {}, details: {} }]);
    await app.close();
  });
});
