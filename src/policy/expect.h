/*
 * expect: a policy's own tests, run each time it loads.
 */
#pragma once

#include "policy/parse.h"

/* Runs p->tests on the policy; what fails is said in p->diag. Returns 0 or -ENOMEM. */
int expect_run(struct parsed *p, const struct policy *policy);
